"""Exact integration over the randomness of a batched function: every path of random decisions, with its probability.

A function that takes its decisions from a `Noise` is run again and again; each row of a batch follows a script of
forced decisions, and every decision beyond the script forks. No sampling error: laws of decoders on small tables are
known to rounding, and the probabilities of all paths, with those too rare to follow, are seen to sum to 1.

Shapes: N paths (batch rows), M starting states, B rows of the noise in use (a selection of the N), S slots, V outcomes of a
decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.laws.draws import Noise, Purpose, Site
from fef.laws.tape import ROUNDING, ReplayError, Scripts, Tape

__all__ = ["EnumeratedNoise", "Outcomes", "enumerate_outcomes", "merge"]


@dataclass(frozen=True)
class Outcomes:
    """One row a path: the state it started from (int64), its probability (float64), what the function returned."""

    state_N: Tensor
    probability_N: Tensor
    outcome: Tensor


def enumerate_outcomes(
    run: Callable[[Noise, Tensor], Tensor],
    n_states: int,
    *,
    max_rows: int = 4096,
    prune: float = 1e-16,
    device: torch.device | str = "cpu",
) -> Outcomes:
    """Every outcome of a random batched function, from each of `n_states` starting states.

    run(noise, rows): starts batch row i from state rows[i] (int64 [N], at most `max_rows`), decides by the noise
    only, treats rows independently, and returns one tensor row a batch row (pack several results into columns). It is
    called many times.

    Paths less probable than `prune` given their state are left out. Raises ReplayError if a path that is run again takes
    other decisions, or if the probabilities from some state, with those left out, do not sum to 1.
    """
    leaves: list[Outcomes] = []
    pending = [Scripts.empty(n_states, torch.device(device))]
    total_M = torch.zeros(n_states, dtype=torch.float64, device=device)
    while pending:
        scripts, pending = _next_batch(pending, max_rows)
        noise = EnumeratedNoise(scripts, prune)
        outcome = run(noise, scripts.state_N)
        assert outcome.shape[0] == scripts.state_N.numel(), "one outcome per row"
        leaves.append(Outcomes(scripts.state_N, noise.tape.probability_N, outcome))
        pending += noise.tape.forks()
        total_M.index_add_(0, scripts.state_N, noise.tape.probability_N + noise.tape.pruned_N)
    _check_total(total_M)
    return Outcomes(
        torch.cat([leaf.state_N for leaf in leaves]),
        torch.cat([leaf.probability_N for leaf in leaves]),
        torch.cat([leaf.outcome for leaf in leaves]),
    )


def _check_total(total_M: Tensor) -> None:
    error_M = (total_M - 1).abs()
    if not bool((error_M <= ROUNDING).all()):
        m = int(error_M.nan_to_num(torch.inf).argmax())
        raise ReplayError(
            f"The probabilities of all paths from state {m} sum to {float(total_M[m]):.12g}, not 1: some decision has a law "
            "that does not sum to 1, or depends on the last bits of floats."
        )


def merge(outcome_NK: Tensor, probability_N: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct outcome rows and their total probabilities: a law."""
    unique_MK, index_N = torch.unique(outcome_NK, dim=0, return_inverse=True)
    law_M = torch.zeros(unique_MK.shape[0], dtype=torch.float64, device=probability_N.device)
    return unique_MK, law_M.index_add_(0, index_N, probability_N)


class EnumeratedNoise(Noise):
    """Noise that follows scripts; a decision is a categorical or bernoulli at an active slot."""

    def __init__(self, scripts: Scripts, prune: float = 1e-16) -> None:
        self.tape = Tape(scripts, prune)
        self.rows_B = torch.arange(scripts.state_N.numel(), device=scripts.state_N.device)

    @property
    def keyed(self) -> bool:
        return False  # each decision forks anew, so two laws cannot share one draw

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.tape.decide(self.rows_B, logp_BSV.exp(), site, purpose)

    def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
        prob_BS = prob_BS.to(torch.float64)
        return self.tape.decide(self.rows_B, torch.stack([1 - prob_BS, prob_BS], -1), site, purpose) == 1

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        raise NotImplementedError(
            f"a uniform number ({purpose!r} at step {site.step_B.tolist()}) has no finite set of outcomes"
        )

    def select(self, rows: Tensor) -> EnumeratedNoise:
        chosen = object.__new__(EnumeratedNoise)
        chosen.tape, chosen.rows_B = self.tape, self.rows_B[rows]
        assert torch.unique(chosen.rows_B).numel() == chosen.rows_B.numel(), "a row cannot take one decision twice"
        return chosen


def _next_batch(pending: list[Scripts], max_rows: int) -> tuple[Scripts, list[Scripts]]:
    """Take up to `max_rows` scripts from the end (depth first: few are pending at a time)."""
    pending, taken, room = list(pending), [], max_rows
    while pending and room:
        last = pending.pop()
        n = last.state_N.numel()
        if n > room:
            pending.append(last.slice(0, n - room))
            last = last.slice(n - room, n)
        taken.append(last)
        room -= last.state_N.numel()
    return Scripts.cat(taken), pending
