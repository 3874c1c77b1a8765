"""Triton kernels that write the gradient of a joined product in one pass: of rotated heads, and of gated units.

torch.compile joins such parts by asking of every number which part it is in, several times slower than memory allows.

Shapes: T tokens, X = (H + 2 G) E numbers of a token, H heads, G key-value heads, E head size, F gated units.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, library

__all__ = ["gate_slope", "rotation_slope"]

_TOKENS = 32  # of a program that turns heads back
_ROWS, _UNITS = 4, 512  # of a program of gates


@library.custom_op("fef::rotation_slope", mutates_args=())
def rotation_slope(q_THE: Tensor, k_TGE: Tensor, v_TGE: Tensor, cos_TE: Tensor, sin_TE: Tensor, scale: float) -> Tensor:
    """The gradient [T, X] of joined queries, keys and values by those of the rotated queries, which were multiplied by the
    scale, of the rotated keys, and of the values; all contiguous. cos_TE, sin_TE: the table of
    `fef.models.rotation.rope_table`."""
    T, H, E = q_THE.shape
    G = k_TGE.shape[1]
    joined_TX = q_THE.new_empty(T, (H + 2 * G) * E)
    _rotation_kernel[(triton.cdiv(T, _TOKENS),)](
        q_THE, k_TGE, v_TGE, cos_TE, sin_TE, joined_TX, T, SCALE=scale, HEADS=H, GROUPS=G, HALF=E // 2, BLOCK=_TOKENS
    )
    return joined_TX


@rotation_slope.register_fake
def _(q_THE: Tensor, k_TGE: Tensor, *_: Tensor | float) -> Tensor:
    T, H, E = q_THE.shape
    return q_THE.new_empty(T, (H + 2 * k_TGE.shape[1]) * E)


@triton.jit
def _rotation_kernel(
    q,
    k,
    v,
    cos,
    sin,
    joined,
    tokens,
    SCALE: tl.constexpr,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
):
    E: tl.constexpr = 2 * HALF
    X: tl.constexpr = (HEADS + 2 * GROUPS) * E
    t = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)[:, None]
    e = tl.arange(0, HALF)[None, :]
    there = t < tokens
    c = tl.load(cos + t * E + HALF + e, there).to(tl.float32)
    s = tl.load(sin + t * E + HALF + e, there).to(tl.float32)
    for head in tl.static_range(HEADS + 2 * GROUPS):
        if head < HEADS:
            source = q + t * (HEADS * E) + head * E + e
        elif head < HEADS + GROUPS:
            source = k + t * (GROUPS * E) + (head - HEADS) * E + e
        else:
            source = v + t * (GROUPS * E) + (head - HEADS - GROUPS) * E + e
        first = tl.load(source, there).to(tl.float32)
        second = tl.load(source + HALF, there).to(tl.float32)
        if head < HEADS + GROUPS:
            first, second = first * c + second * s, second * c - first * s
        if head < HEADS:
            first, second = first * SCALE, second * SCALE
        target = joined + t * X + head * E + e
        tl.store(target, first.to(joined.dtype.element_ty), there)
        tl.store(target + HALF, second.to(joined.dtype.element_ty), there)


@library.custom_op("fef::gate_slope", mutates_args=())
def gate_slope(joined_TF2: Tensor, upstream_TF: Tensor) -> Tensor:
    """The gradient [T, 2 F] of gates and units beside them by that of silu(gate) x unit; all contiguous."""
    T, F = upstream_TF.shape
    slope_TF2 = torch.empty_like(joined_TF2)
    _gate_kernel[(triton.cdiv(T, _ROWS), triton.cdiv(F, _UNITS))](
        joined_TF2, upstream_TF, slope_TF2, T, WIDTH=F, ROWS=_ROWS, BLOCK=_UNITS
    )
    return slope_TF2


@gate_slope.register_fake
def _(joined_TF2: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(joined_TF2)


@triton.jit
def _gate_kernel(joined, upstream, slope, tokens, WIDTH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    t = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    f = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    there = (t < tokens) & (f < WIDTH)
    at = t * (2 * WIDTH) + f
    gate = tl.load(joined + at, there, other=0.0).to(tl.float32)
    unit = tl.load(joined + at + WIDTH, there, other=0.0).to(tl.float32)
    up = tl.load(upstream + t * WIDTH + f, there, other=0.0).to(tl.float32)
    opened = tl.sigmoid(gate)
    by_gate = up * unit * opened * (1.0 + gate * (1.0 - opened))
    tl.store(slope + at, by_gate.to(slope.dtype.element_ty), there)
    tl.store(slope + at + WIDTH, (up * gate * opened).to(slope.dtype.element_ty), there)
