"""Passes as CUDA graphs: one per kind of pass and number of rows, captured when first asked for.

A graph reads its slots from a fixed tensor. Rows that are missing up to the captured number work on a spare slot that is
never live, so they change nothing.
"""

from __future__ import annotations

import gc
import warnings
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from fef.engine.host_copies import copy_numbers
from fef.engine.runner import DevicePasses, PartedPass, PassKind
from fef.errors import EngineError

__all__ = ["GraphRunner", "Graphs", "buckets"]

_WARM_UP = 2  # runs before a capture: the first builds kernels and handles
_MOST_GRAPHS = 128
_SHARE = 1 / 16  # of a device's memory: what graphs hold for themselves, and how much more lets one try again
_IDLE = 64  # passes; a graph that none of them used is not needed now
# Context passes of a number of rows that go through a graph of at most `_WIDER` times as many, before they have their own:
# its capture takes the host as long as some dozen passes, in which requests wait.
_SELDOM = 16
_WIDER = 2


def buckets(most: int) -> list[int]:
    """Numbers of rows that graphs are captured for: powers of two up to `most`, and `most`; from 16 on also what lies halfway
    between two, since many rows take as long as they compute."""
    powers = {1 << n for n in range(most.bit_length())}
    halfway = {power + power // 2 for power in powers if power >= 16}
    return sorted({size for size in powers | halfway if size < most} | {most})


Kind = TypeVar("Kind", bound=Hashable)
Captured = TypeVar("Captured")
Result = TypeVar("Result")


@dataclass
class Graphs(ABC, Generic[Kind, Captured]):
    """Graphs by kind of pass and number of rows, the one used last behind the others.

    There are no more than `_MOST_GRAPHS`, and their own tensors take no more than `_SHARE` of the device; those used longest
    ago go first. Where one does not fit into memory, those that have been idle go; if that does not help, its rows are
    split among smaller ones, as `notes` says, until more memory is free.
    """

    sizes: list[int]
    notes: Callable[[str], None]
    graphs: dict[tuple[Kind, int], Captured] = field(default_factory=dict, init=False)
    last_use: dict[tuple[Kind, int], int] = field(default_factory=dict, init=False)  # number of the pass
    enough: dict[tuple[Kind, int], float] = field(default_factory=dict, init=False)  # bytes, to try again
    passes_begun: int = field(default=0, init=False)
    pool: Any = field(default=None, init=False)
    stream: Any = field(default=None, init=False)  # where work runs before it is captured

    @abstractmethod
    def capture(self, kind: Kind, size: int) -> Captured:
        """A graph of a pass of that many rows."""

    @abstractmethod
    def words(self, kind: Kind) -> str:
        """What a pass of this kind is called."""

    def bytes_of(self, captured: Captured) -> int:
        """Of the tensors that belong to this graph alone."""
        return 0

    def rounded(self, rows: int) -> int:
        """The captured number of rows that these take, if memory allows."""
        return self.sizes[min(bisect_left(self.sizes, rows), len(self.sizes) - 1)]

    def fitting(self, kind: Kind, rows: int) -> int:
        """The size of a graph for this many rows, captured if it was not; a smaller one if memory is short.

        Raises EngineError where not even one row fits into memory.
        """
        self.passes_begun += 1
        at = self.sizes.index(self.rounded(rows))
        smaller, larger = self.sizes[: at + 1], self.sizes[at + 1 :]  # the larger captured while there was memory
        for size in (*reversed(smaller), *(size for size in larger if (kind, size) in self.graphs)):
            if (kind, size) in self.graphs or self.keep_new(kind, size):
                self.graphs[kind, size] = self.graphs.pop((kind, size))
                self.last_use[kind, size] = self.passes_begun
                return size
        raise EngineError(
            f"Out of memory: not even one row of {self.words(kind)} fits beside the weights and caches. Give the engine a "
            "smaller max_batch or memory_gb, a narrower window, or shorter canvases."
        )

    def keep_new(self, kind: Kind, size: int) -> bool:
        """Capture a graph, if memory allows."""
        key = kind, size
        if key in self.enough and free_memory()[0] < self.enough[key]:
            return False
        captured = self.captured(kind, size)
        if captured is None and self.drop_idle():
            captured = self.captured(kind, size)
        free, whole = free_memory()
        if captured is None:
            self.enough[key] = free + _SHARE * whole
            self.notes(f"no memory for a graph of {size} rows ({self.words(kind)}); rows go through smaller graphs")
            return False
        self.enough.pop(key, None)
        self.graphs[key] = captured
        held = sum(map(self.bytes_of, self.graphs.values()))
        for old, graph in list(self.graphs.items())[:-1]:
            if len(self.graphs) <= _MOST_GRAPHS and held <= _SHARE * whole:
                break
            held -= self.bytes_of(graph)
            self.drop(old)
        return True

    def captured(self, kind: Kind, size: int) -> Captured | None:
        """None where memory does not suffice."""
        try:
            return self.capture(kind, size)
        except torch.OutOfMemoryError:
            pass  # what the error holds is given back only behind this
        give_back()
        return None

    def drop_idle(self) -> bool:
        """Let go of graphs that the last passes did not use; were there any?"""
        idle = [key for key, last in self.last_use.items() if last <= self.passes_begun - _IDLE]
        for key in idle:
            self.drop(key)
        if idle:
            give_back()
        return bool(idle)

    def drop(self, key: tuple[Kind, int]) -> None:
        del self.graphs[key], self.last_use[key]
        if not self.graphs:
            self.pool = None  # it went with the last graph in it

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


class PartGraphs:
    """A graph for each part of a pass, and what the host does before each. pass_: with tensors of its own that the host
    reads."""

    def __init__(self, pass_: PartedPass) -> None:
        self.pass_ = pass_
        self.graphs: list[torch.cuda.CUDAGraph | None] = []

    def replay(self, slots: list[int]) -> None:
        for part, graph in zip(self.pass_.parts, self.graphs, strict=True):
            part.host(slots)
            if graph is not None:
                graph.replay()


class GraphRunner(Graphs[PassKind, tuple[torch.cuda.CUDAGraph | PartGraphs, Tensor]]):
    """Runs packed passes by replaying graphs. spare: a slot that is never live."""

    def __init__(self, passes: DevicePasses, spare: int, sizes: list[int], notes: Callable[[str], None]) -> None:
        super().__init__(sizes, notes)
        self.passes, self.spare = passes, spare
        self.held: dict[tuple[PassKind, int], tuple[Tensor, list[int]]] = {}  # what the tensors of graphs hold
        self.lacked: Counter[tuple[PassKind, int]] = Counter()  # passes that had no graph of their own

    def run(self, kind: PassKind, slots: list[int], *, own: bool = False) -> None:
        """own: in a graph of this number of rows, if memory allows. Raises EngineError where not even one row fits into
        memory."""
        start = 0
        while start < len(slots):
            rows = len(slots) - start
            size = self.fitting(kind, rows if own else self.served(kind, rows))
            part = slots[start : start + size]
            graph, slot_B = self.graphs[kind, size]
            filled = part + [self.spare] * (size - len(part))
            self.hold((kind, size), slot_B, filled)
            if isinstance(graph, PartGraphs):
                graph.replay(filled)
            else:
                graph.replay()
            start += size

    def served(self, kind: PassKind, rows: int) -> int:
        """The number of rows for which a graph is asked for: of a context pass that was seldom needed, more than it has, if
        there is one for these. Rounds are priced by their rows, so each number has its own."""
        key = kind, self.rounded(rows)
        if not kind.context or key in self.graphs:
            return rows
        self.lacked[key] += 1
        wider = (size for size in self.sizes if key[1] < size <= _WIDER * key[1] and (kind, size) in self.graphs)
        return rows if self.lacked[key] > _SELDOM else next(wider, rows)

    def drop(self, key: tuple[PassKind, int]) -> None:
        """With what is known of its tensors."""
        super().drop(key)
        self.held.pop(key, None)

    def hold(self, key: tuple[PassKind, int], slot_B: Tensor, slots: list[int]) -> None:
        """Put slots into the tensor of a graph, if they are not there: most rounds have those of the round before."""
        tensor, held = self.held.get(key, (None, []))
        if tensor is not slot_B or held != slots:
            copy_numbers(slots, slot_B)
            self.held[key] = slot_B, slots

    def capture(self, kind: PassKind, size: int) -> tuple[torch.cuda.CUDAGraph | PartGraphs, Tensor]:
        slot_B = torch.full((size,), self.spare, device=self.passes.state.ids_SL.device)
        if kind.grammars:
            return self.in_parts(self.passes.parted(kind, slot_B)), slot_B
        graph, _ = self.graph_of(lambda: self.passes.pass_(kind, slot_B))
        return graph, slot_B

    def in_parts(self, pass_: PartedPass) -> PartGraphs:
        """Of a pass of the spare slot. What parts leave each other may be in the way of no graph: none runs in between."""
        found = PartGraphs(pass_)
        for part in pass_.parts:
            if part.work is None:
                found.graphs.append(None)
                continue
            graph, _ = self.graph_of(part.work)
            graph.replay()  # the next part goes on from what is really there
            found.graphs.append(graph)
        pass_.forget()
        return found

    def words(self, kind: PassKind) -> str:
        return f"a context of {kind.context}" if kind.context else f"a round of {kind.shape.tokens} tokens"


def free_memory() -> tuple[int, int]:
    """Bytes of the device that a pass could have, and all of its bytes."""
    free, whole = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated(), whole


def give_back() -> None:
    """Give the device what nothing holds any more."""
    gc.collect()
    torch.cuda.empty_cache()


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
