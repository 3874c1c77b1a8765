"""What a round costs on this device: replays of its graph with rows that look alive."""

from __future__ import annotations

import statistics

import torch

from fef.engine.build import EngineParts
from fef.engine.graphs import GraphRunner
from fef.engine.runner import PassKind
from fef.engine.slots import PassRequest

__all__ = ["round_seconds"]

_REPLAYS = 7


def round_seconds(built: EngineParts, kind: PassKind, rows: int) -> float:
    """Median seconds of a round of that many rows, each with half its canvas to fill. Captures the graph if need be.

    The rows are the spare slot many times over, so no request is touched. Raises EngineError as `GraphRunner.run`.
    """
    runner, table = built.runner, built.table
    assert isinstance(runner, GraphRunner), "on a CPU, costs are learned from the rounds themselves"
    length = table.context
    order = list(range(length - min(table.ranks, length // 2 + 1), length))
    canvas = PassRequest([0] * length, order).pack(table)[None]
    times = []
    try:
        for _ in range(_REPLAYS + 1):
            built.passes.load([runner.spare], canvas)
            began = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            began.record()
            runner.run(kind, [runner.spare] * rows)
            ended.record()
            ended.synchronize()
            times.append(float(began.elapsed_time(ended)) / 1e3)
    finally:
        built.state.live_S[runner.spare] = False
    return statistics.median(times[1:])
