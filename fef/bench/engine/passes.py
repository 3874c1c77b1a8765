"""Times of the engine's own passes, by kind, with every row live and its window full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from fef.bench.engine.bandwidth import key_value_bytes, weight_bytes
from fef.bench.engine.plain import plain_pass_seconds
from fef.bench.engine.timing import Clock, Work
from fef.engine.graphs import GraphRunner
from fef.engine.measure import fill_windows
from fef.engine.packed_rounds import PackedRounds
from fef.engine.runner import PassKind, TorchPasses
from fef.engine.slots import TENSORS, PassRequest
from fef.errors import EngineError
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer

__all__ = ["CONTEXT", "FULL", "FULL_ONE", "ROUND", "PassRow", "engine_passes", "live_round", "plain_passes", "round_of"]

CONTEXT = "context"
ROUND = "round"
FULL = "full, head at open slots"
FULL_ONE = "full, head at one slot"


@dataclass(frozen=True)
class PassRow:
    """A kind of pass at a batch size."""

    batch: int  # requests at once
    kind: str  # what the pass is for
    window: int | None  # drafts of a round, 0 for one token, None for other kinds
    rows: int  # in the pass
    tokens: int  # of each row
    seconds: float  # median
    bytes_read: int  # what must be read, once each
    share: float  # of the copy bandwidth, that reading them in this time takes
    how: str  # "engine", or for plain passes the faster of "torch" and "kernels"


def round_of(tokens: int) -> RoundShape:
    """A round of that many tokens: a window, its targets, and one draft group behind it that is about as long."""
    window = (tokens - 3) // 3
    return RoundShape(window, 0, tokens - 1 - 2 * window)


def plain_passes(
    network: Transformer, batch: int, ids: list[int], heads: Mapping[str, int], clock: Clock, bandwidth: float
) -> list[PassRow]:
    """Plain passes over `batch` canvases `ids`. heads: by kind, at how many of the last places the head runs."""
    read = weight_bytes(network)
    rows = []
    for kind, slots in heads.items():
        found = plain_pass_seconds(network, ids, batch, slots, clock)
        how = min(found, key=found.__getitem__)
        seconds = found[how]
        rows.append(
            PassRow(
                batch=batch,
                kind=kind,
                window=None,
                rows=batch,
                tokens=len(ids),
                seconds=seconds,
                bytes_read=read,
                share=read / seconds / bandwidth,
                how=how,
            )
        )
    return rows


@torch.no_grad()
def engine_passes(
    rounds: PackedRounds,
    batch: int,
    ids: list[int],
    order: list[int],
    shapes: list[RoundShape],
    clock: Clock,
    bandwidth: float,
) -> list[PassRow]:
    """A context pass of as many of `batch` requests as the engine computes at once, and a round of `batch` for each shape.

    The requests are `ids` with the slots `order` to fill; the engine must be idle. Raises EngineError where memory does not
    suffice.
    """
    network = rounds.network
    weights, token = weight_bytes(network), key_value_bytes(network)

    def row(kind: str, shape: RoundShape, rows: int, tokens: int, seconds: float, cached: int) -> PassRow:
        read = weights + rows * cached * token
        window = shape.window if kind == ROUND else None
        return PassRow(
            batch=batch,
            kind=kind,
            window=window,
            rows=rows,
            tokens=tokens,
            seconds=seconds,
            bytes_read=read,
            share=read / seconds / bandwidth,
            how="engine",
        )

    found = []
    rows = context_rows(rounds, batch)
    kind = rounds.context_kind(len(ids), False)
    with live(rounds, rows, ids, order) as state:
        seconds = clock.seconds(replay(rounds, kind, rows), state.restore)
        found.append(row(CONTEXT, kind.shape, rows, kind.context + kind.shape.queries, seconds, 0))
    for shape in shapes:
        with live_round(rounds, batch, ids, order, shape) as (work, restore):
            found.append(row(ROUND, shape, batch, shape.tokens, clock.seconds(work, restore), len(ids)))
    return found


@contextmanager
def live_round(
    rounds: PackedRounds, rows: int, ids: list[int], order: list[int], shape: RoundShape, *, in_one: bool = False
) -> Iterator[tuple[Work, Work]]:
    """(a round of that many rows in the middle of their answers; what makes it the same round again).

    in_one: on a CPU too, all rows in this thread, which is where a profiler looks.
    """
    with live(rounds, rows, ids, order) as state:
        slots = list(range(rows))
        context = rounds.context_kind(len(ids), False)
        chunk = context_rows(rounds, rows)
        for start in range(0, rows, chunk):
            rounds.built.runner.run(context, slots[start : start + chunk])
        one = RoundShape(0)
        rounds.built.runner.run(PassKind(one, rounds.bounds(slots, one)), slots)
        state.fill_windows()
        kind = PassKind(shape, rounds.bounds(slots, shape))
        runner = rounds.built.runner
        if in_one and isinstance(runner, TorchPasses):
            yield lambda: runner.pass_(kind, state.slot_B), state.restore
        else:
            yield replay(rounds, kind, rows), state.restore


def context_rows(rounds: PackedRounds, batch: int) -> int:
    """Requests of a context pass: what the engine computes at once, in a number that it captures."""
    most = min(batch, rounds.most_contexts)
    runner = rounds.built.runner
    return max(size for size in runner.sizes if size <= most) if isinstance(runner, GraphRunner) else most


class Live:
    """The first rows of an idle engine as requests under way, to go back to."""

    def __init__(self, rounds: PackedRounds, rows: int) -> None:
        self.state = rounds.built.state
        self.slot_B = torch.arange(rows, device=rounds.device)
        self.kept = self.state.take(self.slot_B)

    def restore(self) -> None:
        self.state.put(self.slot_B, self.kept, TENSORS)

    def fill_windows(self) -> None:
        """Every row has all its drafts from now on, and takes them to be good."""
        self.kept = self.state.take(self.slot_B)
        fill_windows(self.kept)
        self.restore()


@contextmanager
def live(rounds: PackedRounds, rows: int, ids: list[int], order: list[int]) -> Iterator[Live]:
    built = rounds.built
    if built.slots < rows:
        raise EngineError(f"Memory for {built.slots} requests at once only. Give smaller batches.")
    canvas = PassRequest(ids, order).pack(built.table)
    built.passes.load(list(range(rows)), canvas.expand(rows, -1).contiguous())
    state = Live(rounds, rows)
    try:
        yield state
    finally:
        built.state.live_S[:rows] = False


def replay(rounds: PackedRounds, kind: PassKind, rows: int) -> Work:
    """A pass of the first rows: on a GPU the bare replay of its graph. Raises EngineError where it does not fit in one."""
    runner, slots = rounds.built.runner, list(range(rows))
    if not isinstance(runner, GraphRunner):
        return lambda: runner.run(kind, slots)
    runner.run(kind, slots)  # captures the graph, and puts the slots into it
    if (kind, rows) not in runner.graphs:
        raise EngineError(f"Out of memory: no graph of {rows} rows fits. Give smaller batches.")
    return runner.graphs[kind, rows][0].replay
