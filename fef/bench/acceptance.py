"""How often drafts held, slot by slot, and the speed-up that the closed form predicts from it.

Shapes: B rows of a round, W drafts, T targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from fef.decoding.session import Round
from fef.laws.speedup import speedup

__all__ = ["Acceptance", "AcceptanceCounter"]


@dataclass(frozen=True)
class Acceptance:
    """What became of drafts. tried, kept [W]: drafts that were reached at each slot of the window (all before them
    accepted), and those accepted. bonus: a full window yields one token more. passes: denoising passes."""

    tried: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    bonus: bool = False
    passes: int = 1

    def predicted(self, calls_per_round: float, sequential_cost: float) -> float | None:
        """Speed-up in forward passes by the closed form (`fef.laws.speedup`), None for a method that drafts nothing.

        calls_per_round: measured, drafts and verification together. sequential_cost: passes per token of the one-token
        decoder. Every window is taken to be full, as the closed form does; a slot never reached counts as rejected.
        """
        if not any(self.tried):
            return None
        return speedup(
            [kept / max(1, tried) for tried, kept in zip(self.tried, self.kept, strict=True)],
            len(self.tried),
            self.passes,
            draft_cost=0.0,
            verify_cost=calls_per_round,
            sequential_cost=sequential_cost,
            bonus=self.bonus,
            first_free=False,
        )

    @classmethod
    def pooled(cls, found: Iterable[Acceptance]) -> Acceptance:
        """The counts of several runs of one method together."""
        every = list(found)
        tried = tuple(map(sum, zip_longest(*(a.tried for a in every), fillvalue=0)))
        kept = tuple(map(sum, zip_longest(*(a.kept for a in every), fillvalue=0)))
        return cls(tried, kept, any(a.bonus for a in every), max(a.passes for a in every))


class AcceptanceCounter:
    """Counts rounds; give it to `fef.decode` as `on_round`. Nothing leaves the device before `result` is asked for."""

    def __init__(self) -> None:
        self.counts_2W = torch.zeros((2, 0), dtype=torch.int64)
        self.bonus = False
        self.last_step = torch.tensor(0)

    def __call__(self, round_: Round) -> None:
        self.last_step = torch.maximum(self.last_step.to(round_.step.device), round_.step.amax())
        if round_.drafts is None or round_.accepted is None:
            return
        width = round_.drafts.shape[1]
        self.bonus |= round_.slots.shape[1] > width
        kept_B = round_.accepted
        tried_B = (kept_B + 1).minimum((round_.drafts >= 0).sum(1))
        index_W = torch.arange(width, device=kept_B.device)
        counts_2W = torch.stack([(index_W < count_B[:, None]).sum(0) for count_B in (tried_B, kept_B)])
        self.counts_2W = padded(self.counts_2W, width).to(kept_B.device) + padded(counts_2W, self.counts_2W.shape[1])

    def result(self) -> Acceptance:
        tried, kept = self.counts_2W.tolist()
        return Acceptance(tuple(tried), tuple(kept), self.bonus, int(self.last_step) + 1)


def padded(counts_2W: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(counts_2W, (0, max(0, width - counts_2W.shape[1])))
