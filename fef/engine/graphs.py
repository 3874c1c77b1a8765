"""Passes as CUDA graphs: one per kind of pass and number of rows, captured when first asked for.

A graph reads its slots from a fixed tensor. Rows that are missing up to the captured number work on a spare slot that is
never live, so they change nothing.
"""

from __future__ import annotations

import gc
import warnings
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from fef.engine.host_copies import on_device
from fef.engine.runner import Passes, PassKind
from fef.errors import EngineError

__all__ = ["GraphRunner", "Graphs", "buckets"]

_WARM_UP = 2  # runs before a capture: the first builds kernels and handles


def buckets(most: int) -> list[int]:
    """Numbers of rows that graphs are captured for: powers of two up to `most`, and `most`."""
    return sorted({1 << n for n in range(most.bit_length()) if 1 << n <= most} | {most})


Kind = TypeVar("Kind", bound=Hashable)
Captured = TypeVar("Captured")
Result = TypeVar("Result")


@dataclass
class Graphs(ABC, Generic[Kind, Captured]):
    """Graphs by kind of pass and number of rows.

    A graph that does not fit into memory is not tried again: the rows are split among smaller ones, and `notes` says so.
    """

    sizes: list[int]
    notes: Callable[[str], None]
    graphs: dict[tuple[Kind, int], Captured] = field(default_factory=dict, init=False)
    too_large: set[tuple[Kind, int]] = field(default_factory=set, init=False)
    pool: Any = field(default=None, init=False)
    stream: Any = field(default=None, init=False)  # where work runs before it is captured

    @abstractmethod
    def capture(self, kind: Kind, size: int) -> Captured:
        """A graph of a pass of that many rows."""

    @abstractmethod
    def words(self, kind: Kind) -> str:
        """What a pass of this kind is called."""

    def rounded(self, rows: int) -> int:
        """The captured number of rows that these take, if memory allows."""
        return self.sizes[min(bisect_left(self.sizes, rows), len(self.sizes) - 1)]

    def fitting(self, kind: Kind, rows: int) -> int:
        """The size of a graph for this many rows, captured if it was not; a smaller one if memory is short.

        Raises EngineError where not even one row fits into memory.
        """
        at = self.sizes.index(self.rounded(rows))
        for size in reversed(self.sizes[: at + 1]):
            if (kind, size) in self.graphs:
                return size
            if (kind, size) in self.too_large:
                continue
            try:
                self.graphs[kind, size] = self.capture(kind, size)
            except torch.OutOfMemoryError:
                self.too_large.add((kind, size))
                gc.collect()
                torch.cuda.empty_cache()
                self.notes(f"no memory for a graph of {size} rows ({self.words(kind)}); rows go through smaller graphs")
                continue
            return size
        for size in self.sizes[at + 1 :]:  # captured while there was memory
            if (kind, size) in self.graphs:
                return size
        raise EngineError(
            f"Out of memory: not even one row of {self.words(kind)} fits beside the weights and caches. Give the engine a "
            "smaller max_batch or memory_gb, a narrower window, or shorter canvases."
        )

    def graph_of(self, work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
        """`work` as a graph, and what it returned: tensors that every replay writes anew."""
        graph = torch.cuda.CUDAGraph()
        with torch.no_grad():
            # one stream for all: the vendor's library holds a workspace for each that it has seen
            self.stream = self.stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                for _ in range(_WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(self.stream)
            torch.cuda.synchronize()
            with collecting_no_garbage(), warnings.catch_warnings(), torch.cuda.graph(graph, pool=self.pool):
                # where memory runs out inside, torch also warns that nothing was captured
                warnings.filterwarnings("ignore", message="The CUDA Graph is empty")
                result = work()
        self.pool = self.pool or graph.pool()
        return graph, result


class GraphRunner(Graphs[PassKind, tuple[torch.cuda.CUDAGraph, Tensor]]):
    """Runs packed passes by replaying graphs. spare: a slot that is never live."""

    def __init__(self, passes: Passes, spare: int, sizes: list[int], notes: Callable[[str], None]) -> None:
        super().__init__(sizes, notes)
        self.passes, self.spare = passes, spare

    def run(self, kind: PassKind, slots: list[int]) -> None:
        """Raises EngineError where not even one row fits into memory."""
        start = 0
        while start < len(slots):
            size = self.fitting(kind, len(slots) - start)
            part = slots[start : start + size]
            graph, slot_B = self.graphs[kind, size]
            slots_B = torch.tensor(part + [self.spare] * (size - len(part)))
            slot_B.copy_(on_device(slots_B, slot_B.device))
            graph.replay()
            start += size

    def capture(self, kind: PassKind, size: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        slot_B = torch.full((size,), self.spare, device=self.passes.state.ids_SL.device)
        graph, _ = self.graph_of(lambda: self.passes.pass_(kind, slot_B))
        return graph, slot_B

    def words(self, kind: PassKind) -> str:
        return f"a context of {kind.context}" if kind.context else f"a round of {kind.shape.tokens} tokens"


@contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """A graph of another engine that is freed while one is captured breaks the capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
