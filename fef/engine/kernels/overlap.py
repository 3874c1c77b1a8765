"""Programmatic dependent launch (Hopper and later): a kernel starts while the one before it ends.

A kernel that takes part lets the next one start at once, reads nothing that an earlier kernel wrote before it has
waited for that kernel, and writes nothing before it has waited. What it may do meanwhile: ask for its first weights.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

__all__ = ["prefetch_rows", "wait_for_previous"]


@triton.jit
def wait_for_previous(OVERLAP: tl.constexpr):
    """Let the next kernel start, then wait until all that earlier kernels wrote can be read."""
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()


@triton.jit
def prefetch_rows(weight, row, k, M, K, ROWS: tl.constexpr, LINES: tl.constexpr):
    """Ask L2 for the first LINES cache lines of 128 bytes, from input `k` on, of ROWS rows from `row` on."""
    rows = tl.minimum(row + tl.arange(0, ROWS), M - 1).to(tl.int64)
    inputs = k + tl.arange(0, LINES) * (1024 // weight.dtype.element_ty.primitive_bitwidth)
    pointers = weight + rows[:, None] * K + tl.minimum(inputs, K - 1)[None, :]
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; // $0", "=r,l", [pointers], dtype=tl.int32, is_pure=False, pack=1
    )
