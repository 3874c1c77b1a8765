"""Keys and values of every slot: its context, its references by rank, and scratch for the queries of a pass.

References of rejected drafts are overwritten by the next round, and the keys of context masks stay where they are: which
keys a token sees is read off ranks alone, so a round neither copies nor erases a key.

Shapes: Y layers, S slots, G key-value heads, C places, E head size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.models.config import TransformerConfig
from fef.models.packed_pass import SlotTable
from fef.models.reserved import reserved_zeros

__all__ = ["SlotCache", "bytes_per_place"]


@dataclass
class SlotCache:
    keys_YSGCE: Tensor
    values_YSGCE: Tensor

    @classmethod
    def empty(cls, config: TransformerConfig, table: SlotTable, device: torch.device, dtype: torch.dtype) -> SlotCache:
        """Zeros, not empty: see `clear`. On a CPU the places that no request reaches take no memory."""
        shape = (config.layers, table.slots, config.kv_head_count, table.places, config.head_size)
        if device.type == "cpu":
            return cls(reserved_zeros(shape, dtype), reserved_zeros(shape, dtype))
        return cls(*(torch.zeros(shape, dtype=dtype, device=device) for _ in range(2)))

    def widened(self, places: int) -> SlotCache:
        """With so many places per slot, as many as now or more."""
        extra = places - self.keys_YSGCE.shape[3]
        return self.changed(lambda cached: torch.nn.functional.pad(cached, (0, 0, 0, extra)))

    def grown(self, count: int) -> SlotCache:
        """With `count` more slots."""
        return self.changed(lambda cached: torch.nn.functional.pad(cached, (0, 0, 0, 0, 0, 0, 0, count)))

    def select(self, rows: Tensor) -> SlotCache:
        """These slots alone."""
        return self.changed(lambda cached: cached[:, rows])

    def changed(self, change: Callable[[Tensor], Tensor]) -> SlotCache:
        return SlotCache(change(self.keys_YSGCE), change(self.values_YSGCE))

    def clear(self, slot: int) -> None:
        """Forget what a broken request left.

        A nan in a place that the next one does not see would spread to it through a product with zero. All other places stay
        as they are: nobody sees them, and on a CPU to write to them would take their memory.
        """
        for kept_YSGCE in (self.keys_YSGCE, self.values_YSGCE):
            for kept_GCE in kept_YSGCE[:, slot]:  # layer by layer: the mask is small
                kept_GCE[(~kept_GCE.isfinite()).nonzero(as_tuple=True)] = 0


def bytes_per_place(config: TransformerConfig, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of one token, in all layers."""
    return 2 * config.layers * config.kv_head_count * config.head_size * dtype.itemsize
