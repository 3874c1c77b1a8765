"""Runs passes over slots: compose, forward, draw, advance, in one go and without waiting for the device.

Shapes: B rows of a pass, S slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.advance import CHANGED, Drawn, EndRules, advance, end_rules
from fef.engine.cache import SlotCache
from fef.engine.draws import Vocabulary
from fef.engine.forward import Bounds
from fef.engine.rounds import PassTokens, RoundShape, compose_context, compose_round
from fef.engine.slots import SlotState

__all__ = ["PassKind", "Runner"]

Forward = Callable[[SlotState, PassTokens, Tensor, Bounds], Tensor]
Draw = Callable[[Tensor, SlotState, PassTokens, EndRules | None, Vocabulary], Drawn]


@dataclass(frozen=True)
class PassKind:
    """What is fixed about a pass. context: places of the canvas that a context pass computes; 0: a round. bounds: see
    `Bounds`."""

    shape: RoundShape
    bounds: Bounds
    context: int = 0


class Runner:
    """Passes over the slots of one engine, on one device."""

    def __init__(
        self, state: SlotState, cache: SlotCache, forward: Forward, draw: Draw, vocabulary: Vocabulary, mask_id: int
    ) -> None:
        self.state, self.cache, self.forward, self.draw = state, cache, forward, draw
        self.vocabulary, self.mask_id = vocabulary, mask_id

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        device = self.state.ids_SL.device
        self.state.load(torch.tensor(slots, device=device), packed_BJ.to(device))

    @torch.no_grad()
    def run(self, kind: PassKind, slots: list[int]) -> None:
        self.pass_(kind, torch.tensor(slots, device=self.state.ids_SL.device))

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        """The pass as a function of the slots' state, which it changes."""
        rows = self.state.take(slot_B)
        if kind.context:
            tokens = compose_context(rows, kind.shape, kind.context, self.mask_id)
        else:
            tokens = compose_round(rows, kind.shape, self.mask_id)
        logits_BQV = self.forward(rows, tokens, slot_B, kind.bounds)
        eos_id = self.vocabulary.eos_id
        drawn = self.draw(logits_BQV, rows, tokens, end_rules(rows, tokens, eos_id), self.vocabulary)
        advance(rows, tokens, drawn, eos_id)
        self.state.put(slot_B, rows, CHANGED)
