"""How good a dependency head is, and how far its bound can be trusted: numbers for `fef demask-report`.

Shapes: B states, S slots, V vocabulary; M of the pairs of all states in one axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fef.laws.influence import committed_error, exact_influence, sub_additive, swap_bound
from fef.models.demask import DependencyHead
from fef.models.table import TableDenoiser
from fef.training.data import Examples
from fef.training.demask import asymmetric_error
from fef.training.influence_targets import States, Targets, Teacher, draw_states
from fef.training.limits import check_counts

__all__ = ["ReportOptions", "calibration", "gain", "head_report", "sampled_report", "table_bounds"]

Report = dict[str, Any]
EDGES = (0.0, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0)
SLACK = 0.05  # an under-prediction worth counting
VARYING = 0.01  # standard deviation of true influences below which there is nothing to explain
STATES_A_CALL = 4
NEWTON_STEPS = 50  # far more than needed
TOLERANCE = 1e-4  # float32 laws differ by less between batch shapes


@dataclass(frozen=True)
class ReportOptions:
    """Settings of a report."""

    states: int = 100  # held-out states
    slots: int = 12  # probed slots per state, at least 3
    values: int = 8  # the most probable values tried at each
    tau: float = 0.1  # the budget of the sets called allowed
    tables: int = 300  # random laws for the share of sub-additive ones
    canvas_length: int = 128  # tokens
    seed: int = 0  # draws states and laws

    def __post_init__(self) -> None:
        check_counts(self, ("states", "slots", "values", "tables", "canvas_length"))


@torch.no_grad()
def head_report(
    teacher: Teacher,
    head: DependencyHead,
    examples: Examples,
    options: ReportOptions,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Calibration on pairs of random slots; error of committing three slots against true and predicted bounds; tables.

    Triples are `near` (three masked positions in a row) or `far` (random masked positions), committed left to right.
    All numbers are over states drawn from `examples`, which training should not have seen.
    """
    generator = torch.Generator(teacher.model.device).manual_seed(options.seed)
    pairs: list[tuple[Tensor, Tensor]] = []
    triples: dict[str, list[Tensor]] = {"near": [], "far": []}
    missing = []
    for done in range(0, options.states, STATES_A_CALL):
        size = min(STATES_A_CALL, options.states - done)
        states = draw_states(examples, teacher, size, options.canvas_length, options.slots, generator)
        predicted_BSS = predict(teacher, head, states)
        exact = exact_influence(teacher.score(states), states.ids_BL, states.slots_BS, teacher.law, options.values)
        real_BS = states.slots_BS >= 0
        counted_BSS = (
            real_BS[:, :, None] & real_BS[:, None, :] & ~torch.eye(options.slots, device=real_BS.device).bool()
        )
        pairs.append((predicted_BSS[counted_BSS].double(), exact.matrix_BSS[counted_BSS]))
        missing.append(exact.missing_mass_BS[real_BS])
        for kind, three in triples_of(states, teacher.model.mask_id):
            triples[kind].append(triple_bounds(teacher, head, three, options.values))
        if progress is not None:
            progress(done + size)
    predicted_M, true_M = (torch.cat(column) for column in zip(*pairs, strict=True))
    return {
        "calibration": calibration(predicted_M, true_M) | {"missing_mass": float(torch.cat(missing).mean())},
        "triples": {kind: triple_summary(torch.cat(rows), options.tau) for kind, rows in triples.items() if rows},
        "tables": table_bounds(options.tables, options.seed),
        "parity": law_bounds(parity()),
    }


def predict(teacher: Teacher, head: DependencyHead, states: States) -> Tensor:
    return head(teacher.model.hidden_at(states.ids_BL, states.at_BS, states.lengths_B), states.slots_BS)  # type: ignore[no-any-return]


@torch.no_grad()
def sampled_report(head: DependencyHead, targets: Targets, under_weight: float) -> Report:
    """Calibration on sampled influences, which training should not have seen, and `gain` at the weight of the fit.

    They are unbiased but noisy: explained variance and correlations are lower than those with true influences.
    """
    counted_BXS = targets.weight_BXS().bool()
    predicted_BXS = head(targets.hidden_BSD, targets.slots_BS)[:, : counted_BXS.shape[1]]
    predicted_M, true_M = predicted_BXS[counted_BXS].double(), targets.influence_BXS[counted_BXS].double()
    report = calibration(predicted_M, true_M)
    varies = report["explained_variance"] is not None
    return report | {"gain": gain(predicted_M, true_M, under_weight) if varies else None}


def gain(predicted_M: Tensor, true_M: Tensor, under_weight: float) -> float:
    """Share of the best constant's `asymmetric_error` that predictions avoid: 1 for perfect ones, 0 for that constant."""
    constant = true_M.mean()
    for _ in range(NEWTON_STEPS):  # to the expectile, where weighted errors of both sides balance
        weight_M = torch.where(true_M > constant, under_weight, 1.0)
        constant = (weight_M * true_M).sum() / weight_M.sum()
    of_constant = asymmetric_error(constant, true_M, under_weight).mean()
    return float(1 - asymmetric_error(predicted_M, true_M, under_weight).mean() / of_constant)


def calibration(predicted_M: Tensor, true_M: Tensor) -> Report:
    """Predicted against true influence of pairs: overall, and in bins of the prediction.

    error: root mean square. correlation (Pearson's), rank_correlation (Spearman's) and explained_variance: None where the
    true influences hardly vary, of which they say nothing; the correlations also where all predictions are equal.
    """
    edges = torch.tensor(EDGES[1:-1], dtype=predicted_M.dtype, device=predicted_M.device)
    bin_M = torch.bucketize(predicted_M, edges, right=True)
    bins = [
        {"from": EDGES[i], "to": EDGES[i + 1]} | agreement(predicted_M[bin_M == i], true_M[bin_M == i])
        for i in range(len(EDGES) - 1)
        if bool((bin_M == i).any())
    ]
    mean_square = (predicted_M - true_M).square().mean()
    deviation = true_M.std(correction=0)
    varies = float(deviation) >= VARYING
    return agreement(predicted_M, true_M) | {
        "error": float(mean_square.sqrt()),
        "deviation": float(deviation),
        "correlation": correlation(predicted_M, true_M) if varies else None,
        "rank_correlation": correlation(ranks(predicted_M), ranks(true_M)) if varies else None,
        "explained_variance": float(1 - mean_square / deviation.square()) if varies else None,
        "bins": bins,
    }


def correlation(x_M: Tensor, y_M: Tensor) -> float | None:
    """Pearson's; None where either is constant."""
    if bool((x_M == x_M[0]).all()) or bool((y_M == y_M[0]).all()):
        return None
    return float(torch.corrcoef(torch.stack([x_M, y_M]))[0, 1])


def ranks(x_M: Tensor) -> Tensor:
    """Ranks from 1, float64; equal values share the mean of theirs."""
    sorted_M = x_M.sort().values
    smaller_M, not_larger_M = (torch.searchsorted(sorted_M, x_M, right=right) for right in (False, True))
    return (smaller_M + not_larger_M + 1).double() / 2


def agreement(predicted_M: Tensor, true_M: Tensor) -> Report:
    """Means, and the shares of pairs predicted too small: beyond rounding, and by more than SLACK."""
    return {
        "pairs": len(true_M),
        "predicted": float(predicted_M.mean()),
        "true": float(true_M.mean()),
        "under": float((predicted_M < true_M - TOLERANCE).double().mean()),
        f"under_by_{SLACK}": float((predicted_M < true_M - SLACK).double().mean()),
    }


def triples_of(states: States, mask_id: int) -> Iterator[tuple[str, States]]:
    """Near and far triples of the states that have three slots."""
    enough_B = (states.slots_BS >= 0).sum(1) >= 3
    if not bool(enough_B.any()):
        return
    states = States(states.ids_BL[enough_B], states.lengths_B[enough_B], states.slots_BS[enough_B])
    index_L = torch.arange(states.ids_BL.shape[1], device=states.ids_BL.device)
    masked_BL = (states.ids_BL == mask_id) & (index_L < states.lengths_B[:, None])
    # start at one of the slots, which prefer text to padding, or as far before it as three positions need
    rank_BL = masked_BL.long().cumsum(1) - 1
    first_B1 = torch.minimum(rank_BL.gather(1, states.at_BS[:, :1]), masked_BL.sum(1, keepdim=True) - 3)
    wanted_B3 = first_B1 + torch.arange(3, device=index_L.device)
    near_B3 = ((rank_BL[:, None, :] == wanted_B3[..., None]) & masked_BL[:, None, :]).long().argmax(-1)
    yield "near", states.with_slots(near_B3)
    yield "far", states.with_slots(states.slots_BS[:, :3].sort(1).values)


def triple_bounds(teacher: Teacher, head: DependencyHead, states: States, values: int) -> Tensor:
    """[B, 5]: measured TV, true bound, predicted bound, is it sub-additive, probability of what was not followed."""
    score, ids_BL, slots_BS = teacher.score(states), states.ids_BL, states.slots_BS
    matrix_BSS = exact_influence(score, ids_BL, slots_BS, teacher.law, values).matrix_BSS
    error = committed_error(score, ids_BL, slots_BS, teacher.law, values)
    return torch.stack(
        [
            error.tv_B,
            swap_bound(matrix_BSS),
            swap_bound(predict(teacher, head, states).double()),
            sub_additive(error.steps_BS, matrix_BSS, TOLERANCE).all(1).double(),
            error.missing_mass_B,
        ],
        1,
    )


def triple_summary(rows_B5: Tensor, tau: float) -> Report:
    tv_B, true_B, predicted_B, additive_B, missing_B = rows_B5.unbind(1)
    allowed_B = predicted_B <= tau
    allowed = {
        "share": float(allowed_B.double().mean()),
        "tv": float(tv_B[allowed_B].mean()) if bool(allowed_B.any()) else 0.0,
        "largest_tv": float(tv_B[allowed_B].max()) if bool(allowed_B.any()) else 0.0,
        "over_tau": float((tv_B[allowed_B] > tau).double().mean()) if bool(allowed_B.any()) else 0.0,
    }
    return {
        "sets": len(rows_B5),
        "tv": float(tv_B.mean()),
        "true_bound": float(true_B.mean()),
        "predicted_bound": float(predicted_B.mean()),
        "sub_additive": float(additive_B.mean()),
        "over_true_bound": float((tv_B > true_B + TOLERANCE).double().mean()),
        "over_predicted_bound": float((tv_B > predicted_B + TOLERANCE).double().mean()),
        "missing_mass": float(missing_B.mean()),
        "tau": tau,
        "allowed": allowed,
    }


def table_bounds(count: int, seed: int) -> Report:
    """Random laws of 4 tokens of 3 values, flat to peaked, all committed at once: how often the bound can be trusted."""
    generator = torch.Generator().manual_seed(seed)
    laws = []
    for _ in range(count):
        concentration = torch.empty(1, dtype=torch.float64).uniform_(0.05, 2, generator=generator)
        weight = torch._standard_gamma(concentration.expand(3**4), generator=generator)
        laws.append(law_bounds((weight / weight.sum()).view(3, 3, 3, 3)))
    return {
        "laws": count,
        "sub_additive": sum(law["sub_additive"] for law in laws) / count,
        "violated": sum(law["violated"] for law in laws) / count,
        "largest_excess": max(law["tv"] - law["bound"] for law in laws),
        "tv": sum(law["tv"] for law in laws) / count,
        "bound": sum(law["bound"] for law in laws) / count,
    }


def law_bounds(joint: Tensor) -> Report:
    """Exact TV of a table's joint from its product, the pairwise bound on it, and whether that bound is violated."""
    denoiser, length = TableDenoiser(joint), joint.dim()
    ids_BL, slots_BS = torch.full((1, length), denoiser.mask_id), torch.arange(length)[None]
    law = torch.nn.LogSoftmax(-1)
    matrix_BSS = exact_influence(denoiser, ids_BL, slots_BS, law).matrix_BSS
    error = committed_error(denoiser, ids_BL, slots_BS, law)
    tv, bound = float(error.tv_B), float(swap_bound(matrix_BSS))
    return {
        "tv": tv,
        "bound": bound,
        "sub_additive": bool(sub_additive(error.steps_BS, matrix_BSS, TOLERANCE).all()),
        "violated": tv > bound + TOLERANCE,
    }


def parity() -> Tensor:
    """Three bits, the third the parity of two fair ones: no pair is dependent, and all three together are."""
    joint = torch.zeros(2, 2, 2, dtype=torch.float64)
    for a, b in itertools.product(range(2), repeat=2):
        joint[a, b, a ^ b] = 0.25
    return joint
