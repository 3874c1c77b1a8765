"""Passes of an idle engine held still, for those who time them: equal requests under way that can be set back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from fef.engine.graphs import GraphRunner
from fef.engine.measure import fill_windows
from fef.engine.packed_rounds import PackedRounds
from fef.engine.runner import PassKind
from fef.engine.slots import TENSORS, PassRequest
from fef.errors import EngineError
from fef.models.packed_pass import RoundShape

__all__ = ["Held", "held_pass"]


@dataclass(frozen=True)
class Held:
    """A pass that can be run again and again. work: runs it, on a GPU as the bare replay of its graph. restore: makes it the
    same pass again. rows: requests in it. tokens: of each."""

    work: Callable[[], object]
    restore: Callable[[], object]
    rows: int
    tokens: int


@contextmanager
def held_pass(
    rounds: PackedRounds, batch: int, ids: Sequence[int], order: Sequence[int], shape: RoundShape | None = None
) -> Iterator[Held]:
    """A pass of requests `ids` with the slots `order` to fill: the context pass of as many of `batch` as the engine computes
    at once, or a round of that shape of all of them, in the middle of their answers, their windows full.

    Raises EngineError where memory does not suffice, for requests that no slot holds, and where the engine has others.
    """
    if rounds.busy:
        raise EngineError(
            "The engine has requests, whose slots a pass that is timed would take. Wait until it is idle."
        )
    rounds.check_fit(len(ids), len(order))
    built, runner = rounds.built, rounds.built.runner
    context = rounds.context_kind(len(ids))
    most = min(batch, rounds.most_contexts)  # in a number that the engine captures
    most = max(size for size in runner.sizes if size <= most) if isinstance(runner, GraphRunner) else most
    rows = batch if shape is not None else most
    if built.slots < rows:
        raise EngineError(f"Memory for {built.slots} requests at once only. Give smaller batches.")
    slots = list(range(rows))
    canvas = PassRequest(list(ids), list(order)).pack(built.table)
    built.passes.load(slots, canvas.expand(rows, -1).contiguous())
    state, slot_B = built.state, torch.arange(rows, device=rounds.device)
    try:
        if shape is None:
            kind, tokens = context, context.context + context.shape.queries
        else:
            for start in range(0, rows, most):
                runner.run(context, slots[start : start + most])
            runner.run(PassKind(RoundShape(0), rounds.bounds(slots, RoundShape(0))), slots)
            full = state.take(slot_B)
            fill_windows(full)
            state.put(slot_B, full, TENSORS)
            kind, tokens = PassKind(shape, rounds.bounds(slots, shape)), shape.tokens
        kept = state.take(slot_B)
        yield Held(replay(rounds, kind, slots), lambda: state.put(slot_B, kept, TENSORS), rows, tokens)
    finally:
        state.live_S[:rows] = False


def replay(rounds: PackedRounds, kind: PassKind, slots: list[int]) -> Callable[[], object]:
    """Raises EngineError where a pass of all of them does not fit in one graph."""
    runner = rounds.built.runner
    if not isinstance(runner, GraphRunner):
        return lambda: runner.run(kind, slots)
    runner.run(kind, slots, own=True)  # captures the graph, and puts the slots into it
    if (kind, len(slots)) not in runner.graphs:
        raise EngineError(f"Out of memory: no graph of {len(slots)} rows fits. Give smaller batches.")
    graph = runner.graphs[kind, len(slots)][0]
    assert isinstance(graph, torch.cuda.CUDAGraph), "of passes under no grammar"
    return graph.replay
