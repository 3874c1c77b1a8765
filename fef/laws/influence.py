"""Influence of one open slot on another, and what it bounds: the error of committing a set of slots independently.

D_ij = E_{y_i ~ p_i} TV(p_j, p_j | y_i) is the expected change of the marginal of slot j when slot i becomes known
(DEMASK, arXiv 2604.02560). It has a direction. For slots S committed in one pass, swapping one conditional of the chain
for its marginal at a time gives

    TV(chain, product) <= sum_j E TV(p_j | y_<j, p_j) <= sum_j sum_{i before j} D_ij

The first inequality always holds, the second needs sub-additivity: what a set tells about a slot is at most the sum of
what its members tell. Parity breaks it: three bits with x3 = x1 xor x2 have D = 0 and TV 1/2.

Shapes: B states, L canvas length, S slots, V vocabulary, K values of a slot, C copies of the batch in one call, R = C B
rows, N prefixes. Probabilities are float64; influences and total variations lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "CommittedError",
    "Influence",
    "committed_error",
    "exact_influence",
    "sub_additive",
    "swap_bound",
    "total_variation",
]

Rows = Callable[[Tensor], Tensor]

_CALL_ENTRIES = 1 << 24  # entries of the laws of one call: 128 MiB in float64


@dataclass(frozen=True)
class Influence:
    """matrix_BSS[b, i, j]: influence of slot i on slot j; 0 on the diagonal and at absent slots. missing_mass_BS:
    probability of the values of source i that were not tried; the true influence of i exceeds the matrix by no more."""

    matrix_BSS: Tensor
    missing_mass_BS: Tensor


@dataclass(frozen=True)
class CommittedError:
    """What committing slots independently costs. tv_B: total variation between their chain law and the product of their
    marginals. steps_BS: E TV(p_j | y_<j, p_j) of each slot j. missing_mass_B: probability of the prefixes that were not
    followed; the true numbers exceed those given by no more."""

    tv_B: Tensor
    steps_BS: Tensor
    missing_mass_B: Tensor


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Half the L1 distance of two laws (probabilities) over the last axis."""
    return (p - q).abs().sum(-1) / 2


def exact_influence(
    score: Rows, ids_BL: Tensor, slots_BS: Tensor, log_law: Rows, values: int | None = None
) -> Influence:
    """The influence of every slot on every other, by trying values of each: 1 + S K rows per state.

    score: ids [R, L] -> logits [R, S, V] at the slots of each row's state. log_law: those logits -> log probabilities.
    Both see whole copies of the batch, one behind the other: row r belongs to state r mod B. slots_BS: masked
    positions, -1 where absent. values: try the K most probable values of each source; None: all of them.
    """
    (B, S), real_BS = slots_BS.shape, slots_BS >= 0
    p_BSV = log_law(score(ids_BL)).exp()
    V = p_BSV.shape[-1]
    weight_BSK, value_BSK = (p_BSV * real_BS[..., None]).topk(min(V, values or V))
    K = value_BSK.shape[-1]
    matrix_SBS = p_BSV.new_zeros(S, B, S)
    tried = (weight_BSK > 0).any(0).flatten().nonzero()[:, 0]
    for pair_C in torch.split(tried, max(1, _CALL_ENTRIES // (B * S * V))):
        source_C, rank_C = pair_C // K, pair_C % K
        ids_CBL = fill(ids_BL[None], slots_BS[:, source_C].T, value_BSK[:, source_C, rank_C].T)
        given_CBSV = log_law(score(ids_CBL.flatten(0, 1))).exp().view(-1, B, S, V)
        weight_CB1 = weight_BSK[:, source_C, rank_C].T[..., None]
        matrix_SBS.index_add_(0, source_C, weight_CB1 * total_variation(given_CBSV, p_BSV))
    ignored_BSS = ~(real_BS[:, :, None] & real_BS[:, None, :]) | torch.eye(S, dtype=torch.bool, device=ids_BL.device)
    missing_BS = (1 - weight_BSK.sum(-1)).clamp_min(0) * real_BS
    return Influence(matrix_SBS.transpose(0, 1).masked_fill(ignored_BSS, 0.0), missing_BS)


def committed_error(
    score: Rows, ids_BL: Tensor, slots_BS: Tensor, log_law: Rows, values: int | None = None
) -> CommittedError:
    """The error of committing all S slots from their marginals, against their chain law in the order given.

    Follows the K values of each slot that weigh most under either law (None: all V), K^(S - 1) rows in the last call:
    for small sets or small tables. Arguments as in `exact_influence`; every slot is real.
    """
    assert bool((slots_BS >= 0).all()), "every slot is real"
    (B, S), L = slots_BS.shape, ids_BL.shape[1]
    marginal_BSV = log_law(score(ids_BL)).exp()
    V = marginal_BSV.shape[-1]
    K = min(V, values or V)
    ids_NBL, p_NBSV = ids_BL[None], marginal_BSV[None]
    chain_NB = product_NB = marginal_BSV.new_ones(1, B)
    steps = []
    for s in range(S):
        p_NBV, q_BV = p_NBSV[:, :, s], marginal_BSV[:, s]
        steps.append((chain_NB * total_variation(p_NBV, q_BV)).sum(0))
        chain_NBV, product_NBV = chain_NB[..., None] * p_NBV, product_NB[..., None] * q_BV
        if s == S - 1:
            break
        value_NBK = (chain_NBV + product_NBV).topk(K).indices
        slot_1B = slots_BS[None, :, s]
        ids_NBL = torch.stack([fill(ids_NBL, slot_1B, value_NB) for value_NB in value_NBK.unbind(-1)], 1)
        ids_NBL = ids_NBL.view(-1, B, L)
        chain_NB = chain_NBV.gather(-1, value_NBK).transpose(1, 2).reshape(-1, B)
        product_NB = product_NBV.gather(-1, value_NBK).transpose(1, 2).reshape(-1, B)
        p_NBSV = log_law(score(ids_NBL.flatten(0, 1))).exp().view(-1, B, S, V)
    followed_B = (chain_NBV - product_NBV).abs().sum((0, 2))
    rest_B = (chain_NB - product_NB).sum(0).abs()  # at least this much of the rest differs too
    missing_B = (1 - chain_NB.sum(0)).clamp_min(0)
    return CommittedError((followed_B + rest_B) / 2, torch.stack(steps, 1), missing_B)


def swap_bound(influence_BSS: Tensor) -> Tensor:
    """sum_j sum_{i before j} D_ij of slots committed in the order given, [B]; bounds their error if sub-additive."""
    return influence_BSS.triu(1).sum((1, 2))


def sub_additive(steps_BS: Tensor, influence_BSS: Tensor, tolerance: float = 1e-12) -> Tensor:
    """Do the slots before each slot tell no more about it than the sum of their influences? Bool [B, S]."""
    return steps_BS <= influence_BSS.triu(1).sum(1) + tolerance


def fill(ids_NBL: Tensor, slot_NB: Tensor, value_NB: Tensor) -> Tensor:
    """Copies of the canvases with one value written at one slot each; nothing is written at slot -1."""
    index_NB1 = slot_NB.clamp_min(0)[..., None]
    ids_NBL = ids_NBL.expand(max(len(ids_NBL), len(value_NB)), -1, -1)
    index_NB1 = index_NB1.expand(len(ids_NBL), -1, -1)
    written_NB1 = torch.where(slot_NB[..., None] >= 0, value_NB[..., None], ids_NBL.gather(2, index_NB1))
    return ids_NBL.scatter(2, index_NB1, written_NB1)
