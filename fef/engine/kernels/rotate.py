"""Norm, rotation and storage of the queries, keys and values of one layer, in one kernel.

Shapes: N tokens, X = (H + 2 G) E numbers of a token, H heads, G key-value heads, E head size, S cache slots, C places
of a slot, R rotated dimensions of a head.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.overlap import wait_for_previous

__all__ = ["rotate_and_store"]

# Heads per program, never chosen by the number of tokens: the sum of a norm is added up in an order that follows from it.
_HEADS = 16


def rotate_and_store(
    qkv_NX: Tensor,
    positions_N: Tensor,
    slot_N: Tensor,
    place_N: Tensor,
    keys_SGCE: Tensor,
    values_SGCE: Tensor,
    *,
    heads: int,
    kv_heads: int,
    head_size: int,
    rotary_size: int,
    theta: float,
    q_weight_E: Tensor | None = None,
    k_weight_E: Tensor | None = None,
    eps: float = 0.0,
    overlap: bool = False,
) -> None:
    """Rotate the queries in place in `qkv_NX`; write keys (rotated) and values to place `place_N` of slot `slot_N`.

    qkv_NX: [q heads | k heads | v heads] of each token. q_weight_E, k_weight_E: RMS norm of each head before the
    rotation, both or neither. The half-rotation of `fef.models.transformer.rotate`, with the same float32 angles but
    rounded once, at the end. Two tokens may share a place only where nobody reads it.
    """
    N, X = qkv_NX.shape
    assert (heads + 2 * kv_heads) * head_size == X and qkv_NX.is_contiguous(), "q, k and v heads side by side"
    assert (q_weight_E is None) == (k_weight_E is None), "a norm for both or for neither"
    assert keys_SGCE.stride() == values_SGCE.stride() and keys_SGCE.stride(3) == 1, "two caches of one layout"
    rest = head_size - rotary_size
    block = min(_HEADS, triton.next_power_of_2(heads + 2 * kv_heads))
    _rotate_kernel[(N, triton.cdiv(heads + 2 * kv_heads, block))](
        qkv_NX,
        frequencies(theta, rotary_size, qkv_NX.device),
        positions_N,
        slot_N,
        place_N,
        keys_SGCE,
        values_SGCE,
        q_weight_E,
        k_weight_E,
        keys_SGCE.stride(0),
        keys_SGCE.stride(1),
        keys_SGCE.stride(2),
        eps,
        H=heads,
        G=kv_heads,
        E=head_size,
        HALF=rotary_size // 2,
        BLOCK_H=block,
        BLOCK_HALF=triton.next_power_of_2(rotary_size // 2),
        BLOCK_REST=triton.next_power_of_2(rest) if rest else 0,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=1,
    )


@cache
def frequencies(theta: float, rotary_size: int, device: torch.device) -> Tensor:
    """The float32 numbers [R / 2] of the network: theta^(-2i / R). Made once, so that a CUDA graph finds them there."""
    power = theta ** (torch.arange(0, rotary_size, 2, device=device, dtype=torch.float32) / rotary_size)
    return 1.0 / power


@triton.jit
def _norm_weight(q_weight, k_weight, columns, is_query, mask):
    """The norm's weight per head: of queries, of keys, and 1 for values."""
    of_query = tl.load(q_weight + columns, mask=mask & is_query, other=1.0)
    of_key = tl.load(k_weight + columns, mask=mask, other=1.0)
    return tl.where(is_query, of_query, of_key).to(tl.float32)


@triton.jit
def _store_heads(
    tile, head, columns, mask, qkv, keys, values, G_stride, H: tl.constexpr, G: tl.constexpr, E: tl.constexpr
):
    """Queries to where they came from, keys and values to their place in the cache."""
    rounded = tile.to(qkv.dtype.element_ty)
    number = head.to(tl.int64)  # heads of a long slot lie further apart than 32 bits count
    tl.store(qkv + head * E + columns, rounded, mask=mask & (head < H))
    tl.store(keys + (number - H) * G_stride + columns, rounded, mask=mask & (head >= H) & (head < H + G))
    tl.store(values + (number - H - G) * G_stride + columns, rounded, mask=mask & (head >= H + G))


@triton.jit
def _rotate_kernel(
    qkv,
    frequency,
    positions,
    slots,
    places,
    keys,
    values,
    q_weight,
    k_weight,
    S_stride,
    G_stride,
    C_stride,
    eps,
    H: tl.constexpr,
    G: tl.constexpr,
    E: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_HALF: tl.constexpr,
    BLOCK_REST: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    # The attention starts when this ends: earlier, its programs would crowd onto the first free multiprocessors.
    wait_for_previous(OVERLAP, False)
    token = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H))[:, None]
    present = head < H + 2 * G
    turns = head < H + G
    qkv += token * (H + 2 * G) * E
    cached = tl.load(slots + token).to(tl.int64) * S_stride + tl.load(places + token).to(tl.int64) * C_stride
    keys += cached
    values += cached

    column = tl.arange(0, BLOCK_HALF)[None, :]
    mask = present & (column < HALF)
    first = tl.load(qkv + head * E + column, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(qkv + head * E + HALF + column, mask=mask, other=0.0).to(tl.float32)
    if BLOCK_REST > 0:
        rest_column = 2 * HALF + tl.arange(0, BLOCK_REST)[None, :]
        rest_mask = present & (rest_column < E)
        rest = tl.load(qkv + head * E + rest_column, mask=rest_mask, other=0.0).to(tl.float32)
    tl.debug_barrier()  # everything is read before the first query is overwritten

    if q_weight is not None:
        square = tl.sum(first * first, axis=1) + tl.sum(second * second, axis=1)
        if BLOCK_REST > 0:
            square += tl.sum(rest * rest, axis=1)
        factor = tl.where(turns, tl.rsqrt(square / E + eps)[:, None], 1.0)
        first = first * factor * _norm_weight(q_weight, k_weight, column, head < H, mask & turns)
        second = second * factor * _norm_weight(q_weight, k_weight, HALF + column, head < H, mask & turns)
        if BLOCK_REST > 0:
            rest = rest * factor * _norm_weight(q_weight, k_weight, rest_column, head < H, rest_mask & turns)

    angle = tl.load(positions + token).to(tl.float32) * tl.load(frequency + column, mask=column < HALF, other=0.0)
    cos = tl.where(turns, tl.cos(angle), 1.0)
    sin = tl.where(turns, tl.sin(angle), 0.0)
    _store_heads(first * cos - second * sin, head, column, mask, qkv, keys, values, G_stride, H, G, E)
    _store_heads(second * cos + first * sin, head, HALF + column, mask, qkv, keys, values, G_stride, H, G, E)
    if BLOCK_REST > 0:
        _store_heads(rest, head, rest_column, rest_mask, qkv, keys, values, G_stride, H, G, E)
