"""Keys and values of a path that held go to their reference places, in all layers: `TorchForward.keep_path`, in one launch.

Shapes: Y layers, S slots, G key-value heads, C places, E head size, B rows, T places of a path.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from fef.models.slot_cache import SlotCache

__all__ = ["move"]


def move(cache: SlotCache, slot_B: Tensor, move_2BT: Tensor, nowhere: int) -> None:
    """Copy from places to places of each row's slot, in place; int32 [2, B, T], where `nowhere` copies nothing. No place is
    both read and written."""
    keys, values = cache.keys_YSGCE, cache.values_YSGCE
    Y, _, G, _, E = keys.shape
    assert keys.stride() == values.stride() and keys.stride(4) == 1 and move_2BT.is_contiguous(), (
        "two caches of one layout"
    )
    _, B, T = move_2BT.shape
    _move_kernel[(B * T, Y)](
        keys,
        values,
        slot_B,
        move_2BT,
        B,
        T,
        keys.stride(0),
        keys.stride(1),
        keys.stride(2),
        keys.stride(3),
        NOWHERE=nowhere,
        G=G,
        E=E,
        LANES_G=triton.next_power_of_2(G),
        LANES_E=triton.next_power_of_2(E),
        num_warps=4,
    )


@triton.jit
def _move_kernel(
    keys,
    values,
    slots,
    moves,
    B,
    T,
    Y_stride,
    S_stride,
    G_stride,
    C_stride,
    NOWHERE: tl.constexpr,
    G: tl.constexpr,
    E: tl.constexpr,
    LANES_G: tl.constexpr,
    LANES_E: tl.constexpr,
):
    one, layer = tl.program_id(0), tl.program_id(1).to(tl.int64)
    source, target = tl.load(moves + one).to(tl.int64), tl.load(moves + B * T + one).to(tl.int64)
    if source == NOWHERE:
        return
    slot = tl.load(slots + one // T).to(tl.int64)
    head, column = tl.arange(0, LANES_G).to(tl.int64)[:, None], tl.arange(0, LANES_E)[None, :]
    mask = (head < G) & (column < E)
    base = layer * Y_stride + slot * S_stride + head * G_stride + column
    key = tl.load(keys + base + source * C_stride, mask=mask)
    value = tl.load(values + base + source * C_stride, mask=mask)
    tl.store(keys + base + target * C_stride, key, mask=mask)
    tl.store(values + base + target * C_stride, value, mask=mask)
