"""Zeros that take memory only where they are written."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from math import prod

import torch
from torch import Tensor

__all__ = ["reserved_zeros"]


def reserved_zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Zeros on the CPU, of at least one number. The system gives each page of memory when something is first written to it,
    while `torch.zeros` writes all of them. Raises torch.OutOfMemoryError where not even the addresses can be had."""
    try:
        memory = mmap.mmap(-1, prod(shape) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise torch.OutOfMemoryError(
            f"{prod(shape) * dtype.itemsize / 1e9:.2f} GB of memory cannot be reserved"
        ) from error
    if sys.platform == "linux":
        with suppress(OSError):  # of a kernel that has no huge pages; one number would take two megabytes of them
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(*shape)
