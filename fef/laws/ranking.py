"""The highest of some scores.

Shapes: B rows, N entries.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["highest"]


def highest(score_BN: Tensor, count_B: Tensor, real_BN: Tensor) -> Tensor:
    """The `count` entries of highest score among the real ones of each row, the first of equals; bool [B, N]."""
    order_BN = score_BN.masked_fill(~real_BN, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return (order_BN.argsort(dim=1) < count_B[:, None]) & real_BN
