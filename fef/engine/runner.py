"""Runs passes over slots: compose, forward, draw, advance, in one go and without waiting for the device.

Shapes: B rows of a pass, S slots, J numbers of one load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fef.engine.advance import CHANGED, advance, end_rules
from fef.engine.draws import Vocabulary, draw
from fef.engine.forward import Bounds, TorchForward
from fef.engine.rounds import RoundShape, compose_context, compose_round
from fef.engine.slots import SlotState

__all__ = ["PassKind", "Passes", "Runs", "TorchPasses"]


@dataclass(frozen=True)
class PassKind:
    """What is fixed about a pass. context: places of the canvas that a context pass computes; 0: a round. bounds: see
    `Bounds`. cut: may a row have top-p or top-k on?"""

    shape: RoundShape
    bounds: Bounds
    context: int = 0
    cut: bool = False


class Runs(Protocol):
    """Runs passes over the slots of one engine, on one device."""

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        """Put requests into slots."""
        ...

    def run(self, kind: PassKind, slots: list[int]) -> None:
        """One pass of these slots."""
        ...


class Passes(Runs, Protocol):
    """Passes as functions of the state of the slots."""

    state: SlotState

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        """One pass, without waiting for the device."""
        ...


class TorchPasses:
    """In plain torch: the reference of every faster way, and what a CPU runs."""

    def __init__(self, state: SlotState, forward: TorchForward, vocabulary: Vocabulary, mask_id: int) -> None:
        self.state, self.forward, self.vocabulary, self.mask_id = state, forward, vocabulary, mask_id

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        device = self.state.ids_SL.device
        self.state.load(torch.tensor(slots, device=device), packed_BJ.to(device))

    @torch.no_grad()
    def run(self, kind: PassKind, slots: list[int]) -> None:
        self.pass_(kind, torch.tensor(slots, device=self.state.ids_SL.device))

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        rows = self.state.take(slot_B)
        if kind.context:
            tokens = compose_context(rows, kind.shape, kind.context, self.mask_id)
        else:
            tokens = compose_round(rows, kind.shape, self.mask_id)
        logits_BQV = self.forward(rows, tokens, slot_B, kind.bounds)
        eos_id = self.vocabulary.eos_id
        drawn = draw(logits_BQV, rows, tokens, end_rules(rows, tokens, eos_id), self.vocabulary)
        advance(rows, tokens, drawn, eos_id)
        self.state.put(slot_B, rows, CHANGED)
