"""Drafters that tests put into the loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas


def odd_drafter(canvas: Canvas, slots_BS: Tensor) -> Tensor:
    """Logits of a table of 3 tokens that have nothing to do with the model, but depend on the canvas."""
    return ((7 * slots_BS[..., None] + 3 * torch.arange(4) + canvas.ids_BL.sum(1)[:, None, None]) % 5).double()


def fixed_drafter(law: list[float]) -> Any:
    logits_V = torch.tensor([*law, 0.0]).double().log()
    return lambda _canvas, slots_BS: logits_V.expand(*slots_BS.shape, -1)
