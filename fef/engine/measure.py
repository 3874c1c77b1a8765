"""What a round costs on this device: replays of its graph with rows that look alive."""

from __future__ import annotations

import statistics

import torch

from fef.engine.build import EngineParts
from fef.engine.graphs import GraphRunner
from fef.engine.runner import PassKind
from fef.engine.slots import TENSORS, PassRequest, SlotState
from fef.laws.window import TREE_BRANCHING

__all__ = ["fill_windows", "round_seconds"]

_REPLAYS = 7
_HOLDS = 0.99  # chance that a draft holds, as the rows are told: every draft is then worth verifying


def fill_windows(rows: SlotState) -> None:
    """Every row is live, has all the drafts that it can have, and takes them to be good; in place."""
    rows.live_S.fill_(True)
    rows.drafted_S.fill_(rows.table.drafts)
    rows.holds_SKC.fill_(_HOLDS)
    depths = [0]  # of states
    for node in range(rows.table.nodes):
        depths.append(min(depths[node // TREE_BRANCHING] + 1, rows.table.grown))
    node_W = torch.arange(rows.table.nodes, device=rows.done_S.device)
    rows.node_parent_SW.copy_(node_W // TREE_BRANCHING)
    rows.node_candidate_SW.copy_(node_W % TREE_BRANCHING)
    rows.node_depth_SW.copy_(torch.tensor(depths[1:], dtype=torch.int64))
    rows.node_chance_SW.copy_(_HOLDS ** (1 + node_W))


def round_seconds(built: EngineParts, kind: PassKind, rows: int) -> float:
    """Median seconds of a round of that many rows, each in the middle of its text and with all its drafts. Captures the graph
    if need be.

    The rows are the spare slot many times over, so no request is touched. Raises EngineError as `GraphRunner.run`.
    """
    runner, table = built.runner, built.table
    assert isinstance(runner, GraphRunner), "on a CPU, costs are learned from the rounds themselves"
    length = table.context
    order = list(range(length - min(table.ranks, length // 2 + 1), length))
    built.passes.load([runner.spare], PassRequest([0] * length, order).pack(table)[None])
    spare_B = torch.tensor([runner.spare], device=built.state.ids_SL.device)
    full = built.state.take(spare_B)
    full.done_S.fill_(len(order) // 2)
    fill_windows(full)
    times = []
    try:
        for _ in range(_REPLAYS + 1):
            built.state.put(spare_B, full, TENSORS)
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
