"""What a pass drew, one launch: the row of numbers per request that `requests.results_of` reads.

Shapes: B rows, J numbers, S slots, R ranks, of which the first N are read.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.pointers import pointers
from fef.engine.slots import COUNTERS, RESULT_HEAD, SlotState

__all__ = ["collect"]

_BLOCK = 256


def collect(state: SlotState, slot_B: Tensor, ranks: int) -> Tensor:
    """int64 [B, J], as `SlotState.collect`."""
    counts = len(COUNTERS)
    result_BJ = torch.empty(len(slot_B), RESULT_HEAD + 3 * ranks, dtype=torch.int64, device=slot_B.device)
    _collect_kernel[(len(slot_B), triton.cdiv(ranks, _BLOCK))](
        slot_B,
        pointers(state),
        result_BJ,
        ranks,
        L=state.table.context,
        R=state.table.ranks,
        COUNTS=counts,
        HEAD=RESULT_HEAD,
        BLOCK=_BLOCK,
    )
    return result_BJ


@triton.jit
def _collect_kernel(
    slots,
    state,
    out,
    N,
    L: tl.constexpr,
    R: tl.constexpr,
    COUNTS: tl.constexpr,
    HEAD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row)
    out += row * (HEAD + 3 * N)
    count = tl.arange(0, 8)
    if tl.program_id(1) == 0:
        tl.store(out, tl.load(state.done + slot))
        some = count < COUNTS
        tl.store(out + 1 + count, tl.load(state.counters + slot * COUNTS + count, mask=some), mask=some)
        tl.store(out + 1 + COUNTS, tl.load(state.log_mass + slot).to(tl.int64, bitcast=True))
    rank = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = rank < N
    position = tl.load(state.order + slot * R + rank, mask=mask, other=0)
    out += HEAD + rank
    tl.store(out, tl.load(state.ids + slot * (L + 1) + position, mask=mask, other=0), mask=mask)
    logp = tl.load(state.logprob + slot * (R + 1) + rank, mask=mask, other=0.0)
    tl.store(out + N, logp.to(tl.int64, bitcast=True), mask=mask)
    plain = tl.load(state.confidence + slot * (R + 1) + rank, mask=mask, other=0.0)
    tl.store(out + 2 * N, plain.to(tl.int64, bitcast=True), mask=mask)
