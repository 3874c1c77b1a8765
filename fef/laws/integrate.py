"""Exact integration over the randomness of a batched function: every path of random decisions, with its probability.

A function that takes its decisions from a `Noise` is run again and again; each row of a batch follows a script of
forced decisions, and every decision beyond the script forks. No sampling error: laws of decoders on small tables are
known to rounding.

Shapes: N paths (batch rows), B rows of the noise in use (a selection of the N), S slots, V outcomes of a decision, D
decisions of a path, F forks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.laws.draws import Noise, Purpose, Site

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

    Paths less probable than `prune` given their state are left out.
    """
    leaves: list[Outcomes] = []
    pending = [_Scripts.empty(n_states, torch.device(device))]
    while pending:
        scripts, pending = _next_batch(pending, max_rows)
        noise = EnumeratedNoise(scripts, prune)
        outcome = run(noise, scripts.state_N)
        assert outcome.shape[0] == scripts.state_N.numel(), "one outcome a row"
        leaves.append(Outcomes(scripts.state_N, noise.tape.probability_N, outcome))
        pending += noise.tape.forks()
    return Outcomes(
        torch.cat([leaf.state_N for leaf in leaves]),
        torch.cat([leaf.probability_N for leaf in leaves]),
        torch.cat([leaf.outcome for leaf in leaves]),
    )


def merge(outcome_NK: Tensor, probability_N: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct outcome rows and their total probabilities: a law."""
    unique_MK, index_N = torch.unique(outcome_NK, dim=0, return_inverse=True)
    law_M = torch.zeros(unique_MK.shape[0], dtype=torch.float64, device=probability_N.device)
    return unique_MK, law_M.index_add_(0, index_N, probability_N)


class EnumeratedNoise(Noise):
    """Noise that follows scripts; a decision is a categorical or bernoulli at an active site, unless it is certain."""

    def __init__(self, scripts: _Scripts, prune: float = 1e-16) -> None:
        self.tape = _Tape(scripts, prune)
        self.rows_B = torch.arange(scripts.state_N.numel(), device=scripts.state_N.device)

    @property
    def keyed(self) -> bool:
        return False  # each decision forks anew, so two laws cannot share one draw

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        del purpose
        return self.tape.decide(self.rows_B, logp_BSV.exp(), site.active_BS)

    def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
        del purpose
        prob_BS = prob_BS.to(torch.float64)
        return self.tape.decide(self.rows_B, torch.stack([1 - prob_BS, prob_BS], -1), site.active_BS) == 1

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        raise NotImplementedError(
            f"a uniform number ({purpose!r} at step {site.step_B.tolist()}) has no finite set of outcomes"
        )

    def select(self, rows: Tensor) -> EnumeratedNoise:
        chosen = object.__new__(EnumeratedNoise)
        chosen.tape, chosen.rows_B = self.tape, self.rows_B[rows]
        assert torch.unique(chosen.rows_B).numel() == chosen.rows_B.numel(), "a row cannot take one decision twice"
        return chosen


@dataclass(frozen=True)
class _Scripts:
    """Forced decisions: state_N, choice_ND (meaningful in the first length_N columns)."""

    state_N: Tensor
    choice_ND: Tensor
    length_N: Tensor

    @staticmethod
    def empty(n_states: int, device: torch.device) -> _Scripts:
        state_N = torch.arange(n_states, device=device)
        return _Scripts(state_N, state_N.new_zeros(n_states, 0), torch.zeros_like(state_N))

    def slice(self, start: int, stop: int) -> _Scripts:
        return _Scripts(self.state_N[start:stop], self.choice_ND[start:stop], self.length_N[start:stop])


def _next_batch(pending: list[_Scripts], max_rows: int) -> tuple[_Scripts, list[_Scripts]]:
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
    D = max(part.choice_ND.shape[1] for part in taken)
    return _Scripts(
        torch.cat([part.state_N for part in taken]),
        torch.cat([_widen(part.choice_ND, D) for part in taken]),
        torch.cat([part.length_N for part in taken]),
    ), pending


class _Tape:
    """What the rows of one batch decided so far, and the decisions they could have taken instead."""

    def __init__(self, scripts: _Scripts, prune: float) -> None:
        self.scripts, self.prune = scripts, prune
        self.choice_ND = scripts.choice_ND.clone()
        self.depth_N = torch.zeros_like(scripts.length_N)
        self.probability_N = torch.ones_like(scripts.length_N, dtype=torch.float64)
        self._forks: list[tuple[Tensor, Tensor, Tensor]] = []  # row, depth and choice of each, [F]

    def decide(self, rows_B: Tensor, prob_BSV: Tensor, active_BS: Tensor) -> Tensor:
        """The outcome of each slot, slots of a row in order; records and forks the open decisions."""
        random_BS = active_BS & ((prob_BSV > 0).sum(-1) > 1)
        likely_BS = prob_BSV.argmax(-1)
        if not bool(random_BS.any()):
            return likely_BS
        count_BS = random_BS.cumsum(1)
        depth_BS = self.depth_N[rows_B, None] + count_BS - 1
        depth_BS = depth_BS.clamp_min(0)  # slots that decide nothing point anywhere
        self.choice_ND = _widen(self.choice_ND, int(depth_BS.max()) + 1)
        scripted_BS = random_BS & (depth_BS < self.scripts.length_N[rows_B, None])
        choice_BS = torch.where(scripted_BS, self.choice_ND[rows_B[:, None], depth_BS], likely_BS)

        chosen_BS = prob_BSV.gather(-1, choice_BS[..., None])[..., 0].masked_fill(~random_BS, 1.0)
        upto_BS = self.probability_N[rows_B, None] * chosen_BS.cumprod(1)
        before_BS = torch.cat([self.probability_N[rows_B, None], upto_BS[:, :-1]], 1)
        other_BSV = before_BS[..., None] * prob_BSV >= self.prune
        other_BSV &= (prob_BSV > 0) & (random_BS & ~scripted_BS)[..., None]
        other_BSV.scatter_(-1, choice_BS[..., None], False)
        b_F, s_F, v_F = other_BSV.nonzero(as_tuple=True)
        self._forks.append((rows_B[b_F], depth_BS[b_F, s_F], v_F))

        b, s = random_BS.nonzero(as_tuple=True)
        self.choice_ND[rows_B[b], depth_BS[b, s]] = choice_BS[b, s]
        self.depth_N[rows_B] += count_BS[:, -1]
        self.probability_N[rows_B] = upto_BS[:, -1]
        return choice_BS

    def forks(self) -> list[_Scripts]:
        """The scripts of the paths not taken."""
        scripts = []
        for row_F, depth_F, choice_F in self._forks:
            if row_F.numel():
                D = int(depth_F.max()) + 1
                choice_FD = self.choice_ND[row_F, :D].scatter(1, depth_F[:, None], choice_F[:, None])
                scripts.append(_Scripts(self.scripts.state_N[row_F], choice_FD, depth_F + 1))
        return scripts


def _widen(choice_ND: Tensor, D: int) -> Tensor:
    N, width = choice_ND.shape
    return choice_ND if width >= D else torch.cat([choice_ND, choice_ND.new_zeros(N, D - width)], 1)
