"""Records of rows: tensors of one entry per row, in which rows come and go alike.

Shapes: B rows.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["RowRecord"]


class RowRecord:
    """A dataclass of tensors [B, ...], and of what has `select` and `join` itself, some perhaps None."""

    def select(self, rows: Tensor | slice) -> Self:
        """These rows, by number, mask or slice."""

        def taken(value: Any) -> Any:
            return value[rows] if isinstance(value, Tensor) else value.select(rows)

        return self.made({name: None if value is None else taken(value) for name, value in vars(self).items()})

    def join(self, other: Self) -> Self:
        """Both, row behind row; both or neither have each part."""
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        assert all((ours is None) == (theirs is None) for ours, theirs in pairs.values()), (
            "both or neither have each part"
        )

        def both(ours: Any, theirs: Any) -> Any:
            return torch.cat([ours, theirs]) if isinstance(ours, Tensor) else ours.join(theirs)

        return self.made({name: None if pair[0] is None else both(*pair) for name, pair in pairs.items()})

    def made(self, tensors: dict[str, Any]) -> Self:
        return type(self)(**tensors)
