"""The tensors of a record, which a kernel takes as one argument and reads by name."""

from __future__ import annotations

import collections
import re
from functools import cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["pointers"]


def pointers(record: Any) -> Any:
    """A named tuple of the tensors of a dataclass, named without the suffix of their shape; bools as bytes."""
    tensors = {re.sub("_[A-Z]+$", "", name): value for name, value in vars(record).items() if isinstance(value, Tensor)}
    as_bytes = (x.view(torch.uint8) if x.dtype == torch.bool else x for x in tensors.values())
    return named(tuple(tensors))(*as_bytes)


@cache
def named(fields: tuple[str, ...]) -> Any:
    """One type for each list of names, as kernels are compiled per type."""
    make: Any = collections.namedtuple
    return make("Pointers", fields)
