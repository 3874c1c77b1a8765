"""Records of rows: tensors of one entry per row, in which rows come and go alike.

Shapes: B rows.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["RowRecord"]


class RowRecord:
    """A dataclass of tensors [B, ...], some perhaps None."""

    def select(self, rows: Tensor) -> Self:
        """These rows, by number or by mask."""
        return self.made({name: None if value is None else value[rows] for name, value in vars(self).items()})

    def join(self, other: Self) -> Self:
        """Both, row behind row; both or neither have each tensor."""
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        return self.made({name: None if pair[0] is None else torch.cat(pair) for name, pair in pairs.items()})

    def made(self, tensors: dict[str, Any]) -> Self:
        return type(self)(**tensors)
