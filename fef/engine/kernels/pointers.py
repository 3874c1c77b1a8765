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
    tensors = {name: value for name, value in vars(record).items() if isinstance(value, Tensor)}
    return type_of(tuple(tensors))(*[x.view(torch.uint8) if x.dtype is torch.bool else x for x in tensors.values()])


@cache
def type_of(fields: tuple[str, ...]) -> Any:
    """That of the tensors in these fields."""
    return named(tuple(re.sub("_[A-Z]+$", "", name) for name in fields))


@cache
def named(names: tuple[str, ...]) -> Any:
    """One type for each list of names, as kernels are compiled per type."""
    make: Any = collections.namedtuple
    return make("Pointers", names)
