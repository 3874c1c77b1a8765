"""Joined products of a compiled training step whose gradients Triton kernels write (`slope_kernels`): heads, and gated units.

Shapes: B rows, N tokens, X = (H + 2 G) E numbers of a token, H heads, G key-value heads, E head size, F gated units.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from fef.models.rotation import rotate

__all__ = ["gated_units", "turned_heads", "whole_heads"]


def turned_heads(
    joined_BNX: Tensor, rotation: tuple[Tensor, Tensor], groups: int, scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries [B, H, N, E], times the scale, and keys [B, G, N, E], and values, out of their joined product."""
    return TurnedHeads.apply(joined_BNX, *rotation, groups, scale)  # type: ignore[no-any-return, no-untyped-call]


def gated_units(joined: Tensor) -> Tensor:
    """silu(gate) x unit [..., F] out of the joined product of gates and units [..., 2 F]."""
    if joined.is_cuda:
        return GatedUnits.apply(joined)  # type: ignore[no-any-return, no-untyped-call]
    gate, unit = joined.chunk(2, dim=-1)
    return F.silu(gate) * unit


def whole_heads(rotation: tuple[Tensor, Tensor], size: int) -> bool:
    """Whether the kernel writes the gradient of heads of this size: all of a head turns, and it is a power of two."""
    return rotation[0].is_cuda and rotation[0].shape[-1] == size and size & (size - 1) == 0


class TurnedHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, joined_BNX: Tensor, cos: Tensor, sin: Tensor, groups: int, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        ctx.scale = scale
        heads_BXNE = joined_BNX.view(*joined_BNX.shape[:2], -1, cos.shape[-1]).transpose(1, 2)
        q_BHNE, k_BGNE, v_BGNE = torch.split(heads_BXNE, [heads_BXNE.shape[1] - 2 * groups, groups, groups], dim=1)
        return rotate(q_BHNE, (cos, sin)) * scale, rotate(k_BGNE, (cos, sin)), v_BGNE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None, None]:
        from fef.models.slope_kernels import rotation_slope

        cos, sin = ctx.saved_tensors
        rows = slopes[0].shape[0]
        q_THE, k_TGE, v_TGE = (slope.transpose(1, 2).flatten(0, 1).contiguous() for slope in slopes)
        table = (part.expand(rows, -1, -1, -1).flatten(0, 2).contiguous() for part in (cos, sin))
        joined_TX: Tensor = rotation_slope(q_THE, k_TGE, v_TGE, *table, ctx.scale)
        return joined_TX.view(rows, -1, joined_TX.shape[1]), None, None, None, None


class GatedUnits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, joined: Tensor) -> Tensor:
        ctx.save_for_backward(joined)
        gate, unit = joined.chunk(2, dim=-1)
        return F.silu(gate) * unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        from fef.models.slope_kernels import gate_slope

        (joined,) = ctx.saved_tensors
        slope_TF2: Tensor = gate_slope(joined.flatten(0, -2).contiguous(), upstream.flatten(0, -2).contiguous())
        return slope_TF2.view_as(joined)
