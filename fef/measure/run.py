"""A measurement as a list of tasks: what a record has is not done again, and what fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from fef.errors import FefError, InputError
from fef.measure.record import Failure, Key, Record
from fef.measure.timing import Stopwatch, free_memory

__all__ = ["Progress", "Silent", "Task", "Told", "carry_out", "check_asked"]


@dataclass(frozen=True)
class Task:
    """A part of a measurement that is done whole or not at all."""

    key: Key  # its name in the record
    measure: Callable[[], Iterable[Any]]  # its rows
    size: float = 1.0  # of its progress
    tells: bool = False  # does it tell its progress itself?


class Progress(Protocol):
    def label(self, label: str) -> None: ...
    def advance(self, count: float) -> None: ...


class Silent:
    """Progress that nobody sees."""

    def label(self, label: str) -> None: ...
    def advance(self, count: float) -> None: ...


class Told(Silent):
    """Progress as lines with seconds."""

    def label(self, label: str) -> None:
        self.now, self.watch = label, Stopwatch()

    def advance(self, count: float) -> None:
        print(f"{self.now}: {self.watch.seconds:.1f} s", flush=True)


def check_asked(record: Record, tasks: Sequence[Task]) -> None:
    """Raise InputError where a record holds what is not asked for now."""
    asked = {task.key for task in tasks}
    for key in record.done:
        if key not in asked:
            raise InputError(
                f"The results to resume hold {' on '.join(reversed(key))}, which this run does not ask for. Ask for it too, "
                "or give another file."
            )


def carry_out(
    record: Record,
    tasks: Sequence[Task],
    progress: Progress | None = None,
    device: torch.device | None = None,
) -> Record:
    """Do what the record does not hold yet, neither done nor failed, and keep it after each task.

    A FefError or too little memory makes a failure of the record, and the other tasks go on. device: whose memory each begins
    with free, and its peak forgotten.
    """
    progress = progress or Silent()
    failed = {failure.task for failure in record.failures}
    for number, task in enumerate(tasks, start=1):
        progress.label(", ".join(task.key))
        if task.key in record.done or task.key in failed:
            progress.advance(task.size)
            continue
        if device is not None:
            free_memory(device)
        try:
            record.add(list(task.measure()))
            record.done.append(task.key)
        except torch.OutOfMemoryError:
            record.failures.append(Failure(task.key, "Out of memory."))
        except FefError as error:
            record.failures.append(Failure(task.key, str(error)))
        progress.advance(0 if task.tells else task.size)
        record.finished = number == len(tasks)
        record.keep()
    record.finished = True
    record.keep()
    return record
