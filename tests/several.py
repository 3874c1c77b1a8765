"""Functions run by several processes at once, as torchrun starts them, on one machine."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch

from fef.training.processes import joined

__all__ = ["run_on"]

PATIENCE = timedelta(seconds=60)


def run_on(count: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(processes, *arguments)` returns in each of them, or the exception that it raised."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    workers = [
        context.Process(target=one, args=(rank, count, port, pipes[rank][1], work, arguments)) for rank in range(count)
    ]
    for worker in workers:
        worker.start()
    try:
        results = []
        for receiver, _ in pipes:
            assert receiver.poll(PATIENCE.total_seconds()), "a process hangs"
            results.append(receiver.recv())
        return results
    finally:
        for worker in workers:
            worker.join(5)
            worker.kill()


def one(rank: int, count: int, port: int, sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    facts = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in facts.items()}
    torch.set_num_threads(1)
    try:
        with joined("cpu", PATIENCE) as processes:
            sender.send(work(processes, *arguments))
    except Exception as error:
        traceback.print_exc()
        sender.send(error)
