"""What rules keep between rounds: tensors of one entry per row. Most are forgotten when a row begins another pass.

Shapes: B rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Memory"]


class Memory:
    """Tensors [B, ...] by name; a row that has kept nothing yet holds the value that the name starts with."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.count, self.device = count, device
        self.tensors: dict[str, Tensor] = {}
        self.starts: dict[str, float] = {}
        self.lasting: set[str] = set()

    def of(
        self,
        name: str,
        shape: tuple[int, ...],
        start: float,
        dtype: torch.dtype = torch.float64,
        *,
        lasting: bool = False,
    ) -> Tensor:
        """The tensor [B, *shape] of a name, made with the value `start` when first asked for; written in place. lasting: kept
        as long as the row is there, from one block to the next."""
        if name not in self.tensors:
            self.starts[name] = start
            if lasting:
                self.lasting.add(name)
            self.tensors[name] = torch.full((self.count, *shape), start, dtype=dtype, device=self.device)
        return self.tensors[name]

    def forget(self, over_B: Tensor) -> None:
        """Start again in these rows, a mask [B], with what does not last."""
        for name, tensor in self.tensors.items():
            if name not in self.lasting:
                tensor[over_B] = self.starts[name]

    def select(self, rows: Tensor) -> None:
        self.count = len(rows)
        self.tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}

    def grow(self, count: int) -> None:
        """Append rows that have kept nothing."""
        self.count += count
        for name, tensor in self.tensors.items():
            fresh = torch.full((count, *tensor.shape[1:]), self.starts[name], dtype=tensor.dtype, device=self.device)
            self.tensors[name] = torch.cat([tensor, fresh])
