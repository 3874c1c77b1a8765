"""Programmatic dependent launch (Hopper and later): a kernel starts while the one before it ends.

A kernel that takes part reads nothing that an earlier kernel wrote before it has waited for that kernel, and writes
nothing before it has waited. What it may do meanwhile: ask L2 for its first weights. So the memory bus works on while
small kernels run. A small kernel lets the next one start at once. A product does so when its sums are done: what was asked
for earlier would have left L2 again before it is needed.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

__all__ = ["ask_for_rows", "let_next_start", "wait_for_previous"]


@triton.jit
def let_next_start(OVERLAP: tl.constexpr):
    """The next kernel may start where there is room for it."""
    if OVERLAP:
        gdc_launch_dependents()


@triton.jit
def wait_for_previous(OVERLAP: tl.constexpr, LET_START: tl.constexpr = True):
    """Wait until all that earlier kernels wrote can be read. LET_START: before that, let the next kernel start."""
    if OVERLAP:
        if LET_START:
            gdc_launch_dependents()
        gdc_wait()


@triton.jit
def ask_for_rows(weight, row, k, M, K, ROWS: tl.constexpr, BYTES: tl.constexpr):
    """Ask L2 for the first BYTES, from input `k` on, of ROWS rows from `row` on; rows of 16-byte multiples."""
    SIZE: tl.constexpr = weight.dtype.element_ty.primitive_bitwidth // 8
    PIECE: tl.constexpr = BYTES // 2  # two pieces per row: 64 rows keep 128 threads busy, once each
    rows = tl.minimum(row + tl.arange(0, ROWS), M - 1).to(tl.int64)
    inputs = tl.minimum(k + tl.arange(0, 2) * (PIECE // SIZE), K - 16 // SIZE)
    left = tl.minimum((K - inputs) * SIZE, PIECE)[None, :] + tl.zeros((ROWS, 2), tl.int32)
    tl.inline_asm_elementwise(
        "cp.async.bulk.prefetch.L2.global [$1], $2; // $0",
        "=r,l,r",
        [weight + rows[:, None] * K + inputs[None, :], left],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
