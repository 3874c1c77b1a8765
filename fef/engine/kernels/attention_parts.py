"""Attention over parts of the keys, each by itself, and the parts joined in their order.

A long row of keys is a long way for one program. Where there are few programs, each part has its own, and `join_parts` joins
what they found; where there are many, one program joins its parts as it goes on. Both join them in the same order by the same
operations (`merged`), so the bits of a query are the same. A part of which a query sees nothing leaves them as they are.

Shapes: P parts, T tokens of all rows, H heads, E head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.overlap import wait_for_previous

__all__ = ["FoundParts", "join_parts", "merged"]

_HEADS = 16
_UNROLLED = 16  # parts whose numbers are asked for before the first is joined; hundreds would take minutes to compile


@dataclass(frozen=True)
class FoundParts:
    """What each part found, float32: the largest score (in powers of 2), the sums of weights and of weighted values."""

    best_PTH: Tensor
    mass_PTH: Tensor
    sum_PTHE: Tensor

    @classmethod
    def empty(cls, parts: int, tokens: int, heads: int, head_size: int, device: torch.device) -> FoundParts:
        best_PTH, mass_PTH = torch.empty(2, parts, tokens, heads, device=device).unbind(0)
        return cls(best_PTH, mass_PTH, torch.empty(parts, tokens, heads, head_size, device=device))


@triton.jit
def merged(best, mass, acc, part_best, part_mass, part_acc):
    """The next part joined to those before: largest score [N], sums of weights [N, .] and of values [N, E]. None so far, or
    nothing seen: -inf and 0."""
    new_best = tl.maximum(best, part_best)
    shift = tl.where(new_best == float("-inf"), 0.0, new_best)
    fade, weight = tl.exp2(best - shift)[:, None], tl.exp2(part_best - shift)[:, None]
    # said explicitly, so that no compiler rounds otherwise in one kernel than in another
    mass = tl.fma(part_mass, weight, mass * fade)
    acc = tl.fma(part_acc, weight, acc * fade)
    return new_best, mass, acc


def join_parts(found: FoundParts, out_TX: Tensor, *, overlap: bool = False) -> None:
    """Attention outputs [T, H * E] of all parts. overlap: as in `overlap`."""
    P, T, H, E = found.sum_PTHE.shape
    block = min(_HEADS, triton.next_power_of_2(H))
    _join_kernel[(T, triton.cdiv(H, block))](
        found.best_PTH,
        found.mass_PTH,
        found.sum_PTHE,
        out_TX,
        T,
        P=P,
        H=H,
        E=E,
        UNROLLED=min(P, _UNROLLED),
        BLOCK_H=block,
        BLOCK_E=triton.next_power_of_2(E),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )


@triton.jit(do_not_specialize=["T"])
def _join_kernel(
    bests,
    masses,
    sums,
    out,
    T,
    P: tl.constexpr,
    H: tl.constexpr,
    E: tl.constexpr,
    UNROLLED: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_E: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_E)[None, :]
    present = head < H
    mask = present[:, None] & (column < E)
    best = tl.full((BLOCK_H,), float("-inf"), tl.float32)
    mass = tl.zeros((BLOCK_H, 1), dtype=tl.float32)
    acc = tl.zeros((BLOCK_H, BLOCK_E), dtype=tl.float32)
    for first in range(0, P, UNROLLED):
        for number in tl.static_range(UNROLLED):
            part = first + number
            real = present & (part < P)  # the others are parts of which nothing is seen
            at = (part * T + token) * H + head
            part_best = tl.load(bests + at, mask=real, other=float("-inf"))
            part_mass = tl.load(masses + at, mask=real, other=0.0)[:, None]
            part_acc = tl.load(sums + at[:, None] * E + column, mask=mask & (part < P), other=0.0)
            best, mass, acc = merged(best, mass, acc, part_best, part_mass, part_acc)
    y = acc / tl.where(mass == 0.0, 1.0, mass)
    tl.store(out + (token * H + head)[:, None] * E + column, y.to(out.dtype.element_ty), mask=mask)
