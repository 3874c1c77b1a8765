"""The processes of one run, of training or measuring: one alone, or several that torchrun started, each with its share.

Control goes through the hosts (gloo), so that no step waits for a device: who has been asked to stop, who failed and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from fef.errors import InputError, OptionError
from fef.models.checkpoint import replace_directory

__all__ = ["ALONE", "DAY", "Processes", "joined", "started_together", "whole"]

TIMEOUT = timedelta(minutes=10)  # of every collective operation: a process that waits longer ends with an error
DAY = timedelta(days=1)  # for processes that meet only before and behind their work
T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """rank: the number of this process, of `size`. device: where it works. control: the group of the hosts."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    control: Any = None

    @property
    def leads(self) -> bool:
        """Whether it is this process that speaks and writes."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Those of `count` things that are this process's."""
        return range(self.rank, count, self.size)

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over the processes of a tensor, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        found = torch.tensor(number)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.control)
        return int(found)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.barrier(group=self.control)

    def told(self, value: T) -> T:
        """The value of the process that leads, which every other one gets."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.control)
        return values[0]

    def agree(self, what: str, value: object) -> None:
        """Raise InputError in all processes where they have other values than the one that leads; what: in words."""
        led = self.told(value)
        with self.together():
            if led != value:
                raise InputError(
                    f"Process {self.rank} of {self.size} has other {what} than process 0; give all the same."
                )

    @contextmanager
    def together(self) -> Iterator[None]:
        """For a part of the work in which processes can fail one by one: where one does, all raise the error of the first.

        A collective operation in it must be reached by all, or by none.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as failed:  # also one that nobody foresaw: the others would wait for this process
            error = failed
        errors = [error]
        if self.size > 1:
            errors = [None] * self.size
            dist.all_gather_object(errors, error, group=self.control)
        for found in errors:
            if found is not None:
                raise found

    @contextmanager
    def replaced(self, path: Path) -> Iterator[Path]:
        """As `replace_directory`: one fresh directory for all processes, on a file system that they share. What can fail in
        the body of one only stands in `together`, so that they leave it together."""
        if self.size == 1:
            with replace_directory(path) as only:
                yield only
            return
        maker = replace_directory(path)
        made: Path | None = None
        with self.together():
            if self.leads:
                made = maker.__enter__()
        fresh = self.told(made)
        assert fresh is not None
        try:
            yield fresh
        except BaseException as error:
            if self.leads:
                maker.__exit__(type(error), error, error.__traceback__)
            raise
        with self.together():
            if self.leads:
                maker.__exit__(None, None, None)


ALONE = Processes()


def started_together() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextmanager
def joined(device: str, timeout: timedelta = TIMEOUT) -> Iterator[Processes]:
    """This process among those that torchrun started, for as long as the body runs; else alone.

    device: "cpu", or "cuda", of which each process takes one. Raises OptionError where a machine has fewer.
    """
    if not started_together():
        yield Processes(device=device)
        return
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device != "cpu":
        devices = torch.cuda.device_count()
        here = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        if here > devices:
            way_out = f"give it --nproc-per-node {devices}" if devices else "give --device cpu"
            raise OptionError(f"torchrun started {here} processes on a machine with {devices} GPUs; {way_out}.")
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    met = dist.is_initialized()  # by whoever else is in this process
    if not met:
        dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl", timeout=timeout)
    try:
        yield Processes(rank, size, device, dist.new_group(backend="gloo", timeout=timeout))
    finally:
        if not met:
            dist.destroy_process_group()


def whole(tensor: Tensor) -> Tensor:
    """A tensor that the processes hold in parts, put together; all of them must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
