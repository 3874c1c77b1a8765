"""Small tensors on their way between host and device, without a wait in between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["HostCopies", "PendingCopy", "all_on_device", "copy_numbers", "on_device", "pinned"]


# Copies to the device are made from pinned memory: from any other they may wait for all work before them.


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a host tensor on the device, or the tensor itself on a CPU."""
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def all_on_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """As `on_device`, of tensors of int64, which travel together."""
    if device.type != "cuda":
        return list(tensors)
    return views_of(joined(tensors, pin=True).to(device, non_blocking=True), tensors)


def joined(tensors: Sequence[Tensor], *, pin: bool) -> Tensor:
    """Tensors of int64, one behind the other. Each begins where kernels expect it: at a whole number of 16 bytes."""
    host = torch.empty(sum(map(room, tensors)), dtype=torch.int64, pin_memory=pin)
    for view, tensor in zip(views_of(host, tensors), tensors, strict=True):
        view.copy_(tensor)
    return host


def views_of(whole: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Where `joined` has put these."""
    parts = torch.split(whole, [room(tensor) for tensor in tensors])
    return [part[: tensor.numel()].view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def room(tensor: Tensor) -> int:
    """Numbers of 8 bytes, an even number of them."""
    return tensor.numel() + tensor.numel() % 2


def copy_numbers(numbers: Sequence[int], there: Tensor) -> None:
    """Put whole numbers into a tensor of int64, of the device or the host."""
    there.copy_(torch.tensor(numbers, pin_memory=there.is_cuda), non_blocking=True)


def pinned(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros of the host that this device reads and writes, too, where kernels are told to."""
    return torch.zeros(*shape, dtype=dtype, pin_memory=device.type == "cuda")


@dataclass
class PendingCopy:
    """A host copy of a tensor, and what the sender wrote on it. Read it once the copy is complete. arrived: an event, or on a
    CPU a time of the host's clock."""

    note: Any
    tensor: Tensor
    arrived: torch.cuda.Event | float

    @property
    def here(self) -> bool:
        """Is the copy complete?"""
        return isinstance(self.arrived, float) or bool(self.arrived.query())  # type: ignore[no-untyped-call]

    def seconds_since(self, earlier: PendingCopy) -> float:
        """Between the arrivals of two copies that are complete."""
        if isinstance(self.arrived, float):
            assert isinstance(earlier.arrived, float), "copies of one device"
            return self.arrived - earlier.arrived
        return float(earlier.arrived.elapsed_time(self.arrived)) / 1e3  # type: ignore[union-attr]


class HostCopies:
    """Copies arrive in the order in which they were sent. waited: seconds, for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.waited = device, 0.0
        self.copies: deque[PendingCopy] = deque()

    def __len__(self) -> int:
        return len(self.copies)

    @property
    def under_way(self) -> int:
        """How many have not arrived."""
        return sum(not copy.here for copy in self.copies)

    def send(self, note: Any, tensor: Tensor) -> None:
        if self.device.type != "cuda":
            self.expect(note, tensor.clone())
            return
        self.expect(
            note, torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        )

    def expect(self, note: Any, host: Tensor) -> None:
        """A tensor of the host that the device has written by the time it has done what it was asked for."""
        arrived: torch.cuda.Event | float = time.perf_counter()
        if self.device.type == "cuda":
            arrived = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            arrived.record()
        self.copies.append(PendingCopy(note, host, arrived))

    def collect(self, keep: int) -> list[PendingCopy]:
        """The copies that have arrived; waits until at most `keep` are under way."""
        found = []
        while self.copies:
            copy = self.copies[0]
            if not copy.here:
                if len(self.copies) <= keep:
                    break
                began = time.perf_counter()
                copy.arrived.synchronize()  # type: ignore[union-attr]
                self.waited += time.perf_counter() - began
            found.append(self.copies.popleft())
        return found
