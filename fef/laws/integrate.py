"""Exact integration over the randomness of a batched function: every path of random decisions, with its probability.

A function that takes its decisions from a `Noise` is run again and again; each row of a batch follows a script of
forced decisions, and every decision beyond the script forks. No sampling error: laws of decoders on small tables are
known to rounding, and the probabilities of all paths, with those too rare to follow, are seen to sum to 1.

Shapes: N paths (batch rows), M starting states, B rows of the noise in use (a selection of the N), S slots, V outcomes of a
decision.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fef.laws.draws import Noise, Purpose, Site
from fef.laws.tape import ROUNDING, ReplayError, Scripts, Tape

__all__ = ["AroundNoise", "EnumeratedNoise", "Outcomes", "QuantileNoise", "enumerate_outcomes", "merge"]


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

    def ranked(self, logp_BSV: Tensor, site: Site, purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("an order of tokens comes from keyed noise, see `QuantileNoise`")

    def at(self, token_BSC: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return torch.zeros_like(token_BSC, dtype=torch.float64)

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


class AroundNoise(Noise):
    """Noise around another one, which decides whatever a class does not decide itself."""

    def __init__(self, inner: Noise) -> None:
        self.inner = inner

    @property
    def keyed(self) -> bool:
        return self.inner.keyed

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.inner.categorical(logp_BSV, site, purpose)

    def ranked(self, logp_BSV: Tensor, site: Site, purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
        return self.inner.ranked(logp_BSV, site, purpose, count)

    def at(self, token_BSC: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.inner.at(token_BSC, site, purpose)

    def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.inner.bernoulli(prob_BS, site, purpose)

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        return self.inner.uniform(site, purpose)

    def select(self, rows: Tensor) -> Self:
        chosen = copy(self)
        chosen.inner = self.inner.select(rows)
        return chosen


class QuantileNoise(AroundNoise):
    """Keyed noise that can be integrated: a site has one uniform number u, and a law is drawn there as its quantile at u.

    What is known of u is an interval; each draw decides in which part of it u lies, so that all laws drawn at a site are
    coupled, as they are by the noise of `KeyedNoise`. Put it around an `EnumeratedNoise`, anew in every run.
    """

    def __init__(self, inner: Noise) -> None:
        super().__init__(inner)
        self.known: dict[tuple[int, ...], tuple[float, float]] = {}  # by row and site
        self.numbers: list[int] | None = None  # of the rows, in the whole batch; None: it is the whole batch

    @property
    def keyed(self) -> bool:
        return True

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        tokens_BS = torch.zeros_like(site.position_BS)
        for s in range(tokens_BS.shape[1]):
            site_B1 = site.take(torch.full_like(tokens_BS[:, :1], s))
            tokens_BS[:, s] = self.of_slot(logp_BSV[:, s], site_B1, purpose)
        return tokens_BS

    def of_slot(self, logp_BV: Tensor, site_B1: Site, purpose: Purpose) -> Tensor:
        """The draw [B] at one slot."""
        place_B4 = torch.stack(
            [
                torch.full_like(site_B1.step_B, int(purpose)),
                site_B1.position_BS[:, 0],
                site_B1.step_B,
                site_B1.attempt_B,
            ],
            1,
        )
        rows = range(len(place_B4)) if self.numbers is None else self.numbers
        keys = [(row, *place) for row, place in zip(rows, place_B4.tolist(), strict=True)]
        known_B2 = torch.tensor([self.known.get(key, (0.0, 1.0)) for key in keys], dtype=torch.float64)
        low_B1, high_B1 = known_B2[:, :1], known_B2[:, 1:]
        upto_BV = logp_BV.exp().cumsum(1)
        above_BV = torch.nn.functional.pad(upto_BV, (1, -1))
        part_BV = (torch.minimum(upto_BV, high_B1) - torch.maximum(above_BV, low_B1)).clamp(min=0)
        part_BV = part_BV / part_BV.sum(1, keepdim=True)
        token_B1 = self.inner.categorical(part_BV.log()[:, None], site_B1, purpose)
        low_B1 = torch.maximum(above_BV.gather(1, token_B1), low_B1)
        high_B1 = torch.minimum(upto_BV.gather(1, token_B1), high_B1)
        for key, active, low, high in zip(keys, site_B1.active_BS[:, 0], low_B1[:, 0], high_B1[:, 0], strict=True):
            if bool(active):
                self.known[key] = float(low), float(high)
        return token_B1[:, 0]

    def ranked(self, logp_BSV: Tensor, site: Site, purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
        """The draw, and behind it the likeliest others."""
        drawn_BSV = logp_BSV.scatter(-1, self.categorical(logp_BSV, site, purpose)[..., None], 1.0)
        score_BSV = torch.where(site.active_BS[..., None], drawn_BSV, logp_BSV)
        score_BSC, token_BSC = score_BSV.topk(min(count, logp_BSV.shape[-1]))
        return score_BSC, token_BSC

    def select(self, rows: Tensor) -> Self:
        chosen = super().select(rows)
        chosen.numbers = rows.tolist() if self.numbers is None else [self.numbers[row] for row in rows.tolist()]
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
