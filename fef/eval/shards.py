"""The processes of one run, as `torchrun` or `accelerate launch` start them: who am I, and wait for the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed

__all__ = ["ONE_PROCESS", "Shard", "join_shards", "shards"]


@dataclass(frozen=True)
class Shard:
    """Process `rank` of `world`; `local_rank` of those on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.world > 1:
            torch.distributed.barrier()

    def device(self) -> str | None:
        """A GPU of its own for each of several processes; None leaves the choice."""
        return f"cuda:{self.local_rank}" if self.world > 1 and torch.cuda.is_available() else None


ONE_PROCESS = Shard()


def join_shards() -> Shard:
    """This process by the environment's RANK, WORLD_SIZE and LOCAL_RANK; one process where they are not set."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    rank, world, local = (int(os.environ.get(name, default)) for name, default in zip(names, (0, 1, 0), strict=True))
    if world > 1 and not torch.distributed.is_initialized():
        # only barriers and results pass between processes, hence gloo on GPUs too; the slowest may be a day behind
        torch.distributed.init_process_group("gloo", timeout=timedelta(days=1))
    return Shard(rank, world, local)


@contextmanager
def shards() -> Iterator[Shard]:
    """Join, and leave at the end."""
    shard = join_shards()
    try:
        yield shard
    finally:
        if shard.world > 1:
            torch.distributed.destroy_process_group()
