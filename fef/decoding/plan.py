"""A plan says which part goes where in the loop. Methods are presets that make one; the certificate is read off it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fef.decoding.canvas import Canvas

__all__ = ["Accept", "Draft", "Drafter", "Order", "Plan", "Remask", "ScheduleName", "Verify"]

Order = Literal["left-to-right", "random", "blocks"]
Verify = Literal["rows", "packed"]
Accept = Literal["coupled", "rejection", "block"]
Remask = Literal["random", "low-confidence"]
ScheduleName = Literal["linear", "cosine"]
Drafter = Callable[[Canvas, Tensor], Tensor]
"""(canvas, slots [B, S]) -> draft logits [B, S, V]; must read nothing but its arguments."""
Draft = Literal["reuse", "fresh", "random"]


@dataclass(frozen=True)
class Plan:
    """The parts of one decode.

    law: which conditionals of the denoiser are sampled ("rows": one plain forward a prefix state; "packed": the packed
    attention pattern). speculate: draft a window and verify it; else each round commits draws from the marginals.
    window: drafts a round, or slots committed a round without speculation. rank_by_draw: commit the most confident of
    the drawn tokens instead of the first in the order. anchors: likely ends of a round behind which its
    packed pass drafts ahead. rounds: commit everything in this many rounds (overrides window).
    """

    method: str
    law: Verify
    order: Order = "left-to-right"
    window: int = 1
    rounds: int | None = None
    block_length: int | None = None
    speculate: bool = False
    draft: Draft | Drafter = "fresh"
    accept: Accept = "coupled"
    bonus: bool = True
    anchors: int = 0
    rank_by_draw: bool = False
    steps: int = 1
    schedule: ScheduleName = "linear"
    remask: Remask = "random"
