"""Paths of random decisions: what was decided where, how probable it was, and what could have been decided instead.

A path is run again by its script. The floats of that run may differ in their last bits from those of the run that wrote
the script (sums depend on the shape of the batch), so the layout of a tape depends on no probability: every active slot
takes a place, certain decisions too, and each place says what it decides.

Shapes: N paths (batch rows), B rows in use (a selection of the N), S slots, V outcomes of a decision, D places of a path,
F forks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.laws.draws import Purpose, Site

__all__ = ["ROUNDING", "ReplayError", "Scripts", "Tape"]

ROUNDING = 1e-10  # probability by which the floats of two runs may differ, and a total from 1
_CERTAIN = 1e-13  # an outcome of less probability is rounding: it is counted as pruned, and never forks
_POSITION_BITS = 28  # with 3 bits of purpose, 16 of step and 16 of attempt: one int64


class ReplayError(AssertionError):
    """What was run is no function of its decisions, up to rounding: a path run again is another, or the total is not 1."""


@dataclass(frozen=True)
class Scripts:
    """Forced decisions. state_N: where each path starts. choice_ND, what_ND: each decision and what it decides, meaningful in
    the first length_N columns. probability_N: of the forced decisions together, float64."""

    state_N: Tensor
    choice_ND: Tensor
    what_ND: Tensor
    length_N: Tensor
    probability_N: Tensor

    @staticmethod
    def empty(n_states: int, device: torch.device) -> Scripts:
        state_N = torch.arange(n_states, device=device)
        none_N0 = state_N.new_zeros(n_states, 0)
        probability_N = torch.ones(n_states, dtype=torch.float64, device=device)
        return Scripts(state_N, none_N0, none_N0, torch.zeros_like(state_N), probability_N)

    @staticmethod
    def cat(parts: Sequence[Scripts]) -> Scripts:
        D = max(part.choice_ND.shape[1] for part in parts)
        return Scripts(
            torch.cat([part.state_N for part in parts]),
            torch.cat([_widen(part.choice_ND, D) for part in parts]),
            torch.cat([_widen(part.what_ND, D) for part in parts]),
            torch.cat([part.length_N for part in parts]),
            torch.cat([part.probability_N for part in parts]),
        )

    def slice(self, start: int, stop: int) -> Scripts:
        n = slice(start, stop)
        return Scripts(self.state_N[n], self.choice_ND[n], self.what_ND[n], self.length_N[n], self.probability_N[n])


class Tape:
    """What the rows of one batch decided so far, and the decisions they could have taken instead.

    probability_N: of each path. pruned_N: of the paths that leave it and are too rare to follow, given its start.
    """

    def __init__(self, scripts: Scripts, prune: float) -> None:
        self.scripts, self.prune = scripts, prune
        self.probability_N = torch.ones_like(scripts.probability_N)
        self.pruned_N = torch.zeros_like(scripts.probability_N)
        self._choice_ND, self._what_ND = scripts.choice_ND.clone(), scripts.what_ND.clone()
        self._depth_N = torch.zeros_like(scripts.length_N)
        self._scripted_N = torch.ones_like(scripts.probability_N)  # probability of the forced decisions in this run
        self._forks: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []  # row, place, choice, probability; [F]

    def decide(self, rows_B: Tensor, prob_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        """The outcome of each slot, slots of a row in order; those beyond the script fork.

        Raises ReplayError where the script holds another decision.
        """
        active_BS, likely_BS = site.active_BS, prob_BSV.argmax(-1)
        if not bool(active_BS.any()):
            return likely_BS
        count_BS = active_BS.cumsum(1)
        place_BS = (self._depth_N[rows_B, None] + count_BS - 1).clamp_min(0)  # inactive slots point anywhere
        what_BS = _identity(site, purpose)
        width = int(place_BS.max()) + 1
        self._choice_ND, self._what_ND = _widen(self._choice_ND, width), _widen(self._what_ND, width)

        scripted_BS = active_BS & (place_BS < self.scripts.length_N[rows_B, None])
        choice_BS = torch.where(scripted_BS, self._choice_ND[rows_B[:, None], place_BS], likely_BS)
        self._check_script(
            scripted_BS, what_BS, self._what_ND[rows_B[:, None], place_BS], choice_BS, prob_BSV.shape[-1]
        )

        chosen_BS = prob_BSV.gather(-1, choice_BS[..., None])[..., 0].masked_fill(~active_BS, 1.0)
        upto_BS = self.probability_N[rows_B, None] * chosen_BS.cumprod(1)
        before_BS = torch.cat([self.probability_N[rows_B, None], upto_BS[:, :-1]], 1)
        open_BS1 = (active_BS & ~scripted_BS)[..., None]
        other_BSV = torch.where(open_BS1, before_BS[..., None] * prob_BSV, 0.0).scatter(-1, choice_BS[..., None], 0.0)
        followed_BSV = open_BS1 & (other_BSV > 0) & (other_BSV >= self.prune) & (prob_BSV > _CERTAIN)
        b_F, s_F, v_F = followed_BSV.nonzero(as_tuple=True)
        self._forks.append((rows_B[b_F], place_BS[b_F, s_F], v_F, other_BSV[b_F, s_F, v_F]))

        b, s = active_BS.nonzero(as_tuple=True)
        self._choice_ND[rows_B[b], place_BS[b, s]] = choice_BS[b, s]
        self._what_ND[rows_B[b], place_BS[b, s]] = what_BS[b, s]
        self._depth_N[rows_B] += count_BS[:, -1]
        self._scripted_N[rows_B] *= chosen_BS.masked_fill(~scripted_BS, 1.0).prod(1)
        self.probability_N[rows_B] = upto_BS[:, -1]
        self.pruned_N[rows_B] += other_BSV.masked_fill(followed_BSV, 0.0).sum((1, 2))
        return choice_BS

    def forks(self) -> list[Scripts]:
        """The scripts of the paths not taken, once the rows have run to their ends. Raises ReplayError where a script was not
        followed to its end, or its decisions were not as probable as when it was written."""
        self._check_ends()
        scripts = []
        for row_F, place_F, choice_F, probability_F in self._forks:
            if row_F.numel():
                D = int(place_F.max()) + 1
                choice_FD = self._choice_ND[row_F, :D].scatter(1, place_F[:, None], choice_F[:, None])
                what_FD = self._what_ND[row_F, :D]
                scripts.append(Scripts(self.scripts.state_N[row_F], choice_FD, what_FD, place_F + 1, probability_F))
        return scripts

    def _check_script(
        self, scripted_BS: Tensor, what_BS: Tensor, held_BS: Tensor, choice_BS: Tensor, outcomes: int
    ) -> None:
        other_BS = scripted_BS & ((what_BS != held_BS) | (choice_BS >= outcomes))
        if bool(other_BS.any()):
            b, s = other_BS.nonzero()[0].tolist()
            met, held = f"{_words(what_BS[b, s])} of {outcomes} outcomes", _words(held_BS[b, s])
            raise ReplayError(_complaint(f"meets {met} where it decided {held} as {int(choice_BS[b, s])}"))

    def _check_ends(self) -> None:
        short_N = self._depth_N < self.scripts.length_N
        if bool(short_N.any()):
            n = int(short_N.nonzero()[0])
            decisions = f"{int(self._depth_N[n])} decisions, not {int(self.scripts.length_N[n])} or more"
            raise ReplayError(_complaint(f"ends after {decisions}"))
        change_N = (self._scripted_N - self.scripts.probability_N).abs()
        if not bool((change_N <= ROUNDING).all()):
            n = int(change_N.nan_to_num(torch.inf).argmax())
            was, now = float(self.scripts.probability_N[n]), float(self._scripted_N[n])
            raise ReplayError(_complaint(f"has probability {now:.12g} where it had {was:.12g}"))


def _identity(site: Site, purpose: Purpose) -> Tensor:
    """What each slot decides, as one number [B, S]."""
    position_BS = site.position_BS.masked_fill(~site.active_BS, 0)
    assert int(position_BS.min()) >= 0 and int(position_BS.max()) < 1 << _POSITION_BITS, (
        "a canvas too long to integrate"
    )
    round_B = (int(purpose) << 32) | (site.step_B << 16) | site.attempt_B
    return (round_B[:, None] << _POSITION_BITS) | position_BS


def _words(what: Tensor) -> str:
    round_, position = divmod(int(what), 1 << _POSITION_BITS)
    purpose, step, attempt = Purpose(round_ >> 32), round_ >> 16 & 0xFFFF, round_ & 0xFFFF
    return f"{purpose.name} at position {position} (step {step}, attempt {attempt})"


def _complaint(what: str) -> str:
    return (
        f"A path of random decisions, run again, {what}: control flow depends on the last bits of floats, or on something "
        "other than the decisions and the start."
    )


def _widen(x_ND: Tensor, D: int) -> Tensor:
    N, width = x_ND.shape
    return x_ND if width >= D else torch.cat([x_ND, x_ND.new_zeros(N, D - width)], 1)
