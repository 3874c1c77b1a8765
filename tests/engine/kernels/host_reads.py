"""Counts what makes the host wait for a device: numbers read back, and results whose shape depends on data.

On a CPU the same calls wait for nothing, so that this can be counted anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive", "bincount", "equal"}


class HostReads(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.count += name in WAITING or by_mask
        return func(*args, **(kwargs or {}))


@contextmanager
def host_reads() -> Iterator[HostReads]:
    found, tolist = HostReads(), Tensor.tolist

    def counted(self: Tensor) -> Any:
        found.count += 1
        return tolist(self)

    Tensor.tolist = counted  # type: ignore[method-assign]
    try:
        with found:
            yield found
    finally:
        Tensor.tolist = tolist  # type: ignore[method-assign]
