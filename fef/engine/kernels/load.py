"""Requests into slots, one launch: `SlotState.load`.

Shapes: B rows, J numbers of a packed request, S slots, L context places, R ranks.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.pointers import pointers
from fef.engine.slots import COUNTERS, HEAD, SlotState
from fef.models.packed import PADDING, REVEALED

__all__ = ["load"]

_BLOCK = 256


def load(state: SlotState, slot_B: Tensor, packed_BJ: Tensor, length_S: Tensor) -> None:
    """slot_B: int64; no slot twice but the spare one. packed_BJ: int64, see `PassRequest.pack`. length_S: int32, a second
    copy of the lengths."""
    _load_kernel[(len(slot_B),)](
        slot_B,
        packed_BJ,
        pointers(state),
        length_S,
        packed_BJ.shape[1],
        L=state.table.context,
        R=state.table.ranks,
        HEAD=HEAD,
        COUNTS=len(COUNTERS),
        NODES=state.table.nodes,
        LANES_W=triton.next_power_of_2(max(1, state.table.nodes)),
        REVEALED=REVEALED,
        PADDING=PADDING,
        BLOCK=_BLOCK,
        num_warps=4,
    )


@triton.jit
def _load_kernel(
    slots,
    packed,
    state,
    short_length,
    J,
    L: tl.constexpr,
    R: tl.constexpr,
    HEAD: tl.constexpr,
    COUNTS: tl.constexpr,
    NODES: tl.constexpr,
    LANES_W: tl.constexpr,
    REVEALED: tl.constexpr,
    PADDING: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row)
    packed += row * J
    length, opened = tl.load(packed), tl.load(packed + 1)
    lane = tl.arange(0, BLOCK)
    for start in range(0, L, BLOCK):
        index = start + lane
        mask = index < L
        tl.store(state.ids + slot * (L + 1) + index, tl.load(packed + HEAD + index, mask=mask), mask=mask)
        tl.store(state.rank + slot * L + index, tl.where(index < length, REVEALED, PADDING), mask=mask)
    tl.debug_barrier()  # ranks go over what was just written, maybe by other threads
    for start in range(0, R, BLOCK):
        index = start + lane
        mask = index < R
        position = tl.load(packed + HEAD + L + index, mask=mask, other=0)
        tl.store(state.order + slot * R + index, position, mask=mask)
        tl.store(state.rank + slot * L + position, index, mask=mask & (index < opened))
    tl.store(state.length + slot, length)
    tl.store(short_length + slot, length.to(tl.int32))
    tl.store(state.open + slot, opened)
    tl.store(state.done + slot, 0)
    tl.store(state.live + slot, (opened > 0).to(tl.uint8))
    tl.store(state.bad + slot, 0)
    tl.store(state.drafted + slot, 0)
    tl.store(state.log_mass + slot, 0.0)
    node = tl.arange(0, LANES_W)
    tl.store(state.node_chance + slot * NODES + node, node.to(tl.float64) * 0.0 - 1.0, mask=node < NODES)
    tl.store(state.step + slot, tl.load(packed + 2))
    tl.store(state.seed + slot, tl.load(packed + 3))
    tl.store(state.top_k + slot, tl.load(packed + 4))
    tl.store(state.first_end + slot, tl.load(packed + 5))
    tl.store(state.last_other + slot, tl.load(packed + 6))
    tl.store(state.temperature + slot, tl.load(packed + 7).to(tl.float64, bitcast=True))
    tl.store(state.top_p + slot, tl.load(packed + 8).to(tl.float64, bitcast=True))
    count = tl.arange(0, 8)
    tl.store(state.counters + slot * COUNTS + count, count.to(tl.int64) * 0, mask=count < COUNTS)
