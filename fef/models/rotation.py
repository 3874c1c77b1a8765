"""Rotary positions: the table of angles, and the rotation of heads by it.

Shapes: B rows, N tokens, H heads, E head size; E2 is half of the rotated part of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rope_table", "rotate"]


def rope_table(positions_BN: Tensor, rotary_size: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B, 1, N, rotary_size] of the half-rotation form (Su et al. 2104.09864, as in LLaMA); the sines of
    the first half, which the second one is turned into, are negative.

    Angles are float32, as where the released checkpoints were trained: at long positions exact ones differ visibly.
    """
    exact = torch.promote_types(dtype, torch.float32)
    exponent_E2 = torch.arange(0, rotary_size, 2, device=positions_BN.device, dtype=exact) / rotary_size
    angle_BNE2 = positions_BN[..., None].to(exact) * (1.0 / theta**exponent_E2)
    angle_B1NE = torch.cat([-angle_BNE2, angle_BNE2], dim=-1)[:, None]
    return angle_B1NE.cos().to(dtype), angle_B1NE.sin().to(dtype)


def rotate(x_BHNE: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the leading dimensions of each head, as many as the table has; the others pass through."""
    cos, sin = rotation
    size = cos.shape[-1]
    turned = x_BHNE[..., :size]
    # unlike halves that are joined, what is rolled is quick to differentiate
    turned = turned * cos + turned.roll(size // 2, dims=-1) * sin
    return turned if size == x_BHNE.shape[-1] else torch.cat([turned, x_BHNE[..., size:]], dim=-1)
