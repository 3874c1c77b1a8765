"""Keys and values of rows of any length in one piece of memory that stays where it is, as graphs need it.

Shapes: Y layers, P places, G key-value heads, E head size, R rows, L canvas length, K places that are written.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.models.config import TransformerConfig
from fef.models.slot_cache import SlotCache
from fef.models.transformer import KeyValues

__all__ = ["NOWHERE", "Arena", "passing_cache"]

NOWHERE = 0
"""The place that takes the keys of absent tokens; nobody reads it."""


class Arena:
    """`take` and `give` runs of places, first fit. A row's slot, for the kernels, is the number of its first place."""

    def __init__(self, config: TransformerConfig, places: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (2, config.layers, places + 1, config.kv_head_count, config.head_size)
        self.pair_2YPGE = torch.empty(shape, dtype=dtype, device=device)
        self.cache = slots_of(self.pair_2YPGE)
        self.free = [(NOWHERE + 1, places)]  # (first place, how many), ascending
        self.taken: dict[int, int] = {}

    def take(self, count: int) -> int:
        """The first of `count` places side by side. Raises torch.OutOfMemoryError where there are none."""
        for at, (start, size) in enumerate(self.free):
            if size >= count:
                self.free[at : at + 1] = [(start + count, size - count)] if size > count else []
                self.taken[start] = count
                return start
        raise torch.OutOfMemoryError(f"the caches of the engine have no {count} places side by side")

    def give(self, start: int) -> None:
        """Give back what `take` returned."""
        runs = sorted([*self.free, (start, self.taken.pop(start))])
        self.free = runs[:1]
        for first, size in runs[1:]:
            before, length = self.free[-1]
            if before + length == first:
                self.free[-1] = before, length + size
            else:
                self.free.append((first, size))

    def move(self, from_K: Tensor, to_K: Tensor) -> None:
        """Copy keys and values between places."""
        self.pair_2YPGE.index_copy_(2, to_K, self.pair_2YPGE.index_select(2, from_K))

    def write(self, place_RL: Tensor, past: KeyValues) -> None:
        """Keep the keys and values of whole canvases."""
        for whole_YPGE, new_YRGLE in zip(self.pair_2YPGE, (past.keys_YBGPE, past.values_YBGPE), strict=True):
            whole_YPGE[:, place_RL] = new_YRGLE.transpose(2, 3)

    def read(self, start: int, count: int) -> KeyValues:
        """Keys and values of places side by side, as a batch of one row; a view."""
        keys_YGPE, values_YGPE = self.pair_2YPGE[:, :, start : start + count].transpose(2, 3)
        return KeyValues(keys_YGPE[:, None], values_YGPE[:, None])


def passing_cache(config: TransformerConfig, places: int, device: torch.device, dtype: torch.dtype) -> SlotCache:
    """For passes whose keys nobody reads afterwards: every layer writes over the one before it."""
    shape = (2, 1, places + 1, config.kv_head_count, config.head_size)
    return slots_of(torch.empty(shape, dtype=dtype, device=device).expand(-1, config.layers, -1, -1, -1))


def slots_of(pair_2YPGE: Tensor) -> SlotCache:
    """The places as slots that begin anywhere: slot s begins at place s."""
    _, layers, places, groups, size = pair_2YPGE.shape
    _, layer, place, group, number = pair_2YPGE.stride()
    keys, values = (
        whole_YPGE.as_strided((layers, 1, groups, places, size), (layer, place, group, place, number))
        for whole_YPGE in pair_2YPGE
    )
    return SlotCache(keys, values)
