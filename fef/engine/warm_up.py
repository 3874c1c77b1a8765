"""What the first requests of an engine would wait for, done before they come."""

from __future__ import annotations

from fef.engine.graphs import GraphRunner
from fef.engine.packed_rounds import PackedRounds

__all__ = ["warm_up"]


def warm_up(rounds: PackedRounds) -> None:
    """On a GPU, measure rounds of all shapes, which captures their graphs, and run context passes of the shortest and longest
    canvases, which builds their kernels. On a CPU nothing waits. Raises EngineError where there is no memory for the longest.

    The rows are the spare slot many times over, so no request is touched.
    """
    runner = rounds.built.runner
    if not isinstance(runner, GraphRunner):
        return
    rounds.chooser.measure()
    kinds = {rounds.context_kind(length) for length in (1, rounds.built.table.context)}
    for size in runner.sizes:
        if size <= runner.rounded(rounds.most_contexts):
            for kind in kinds:
                runner.run(kind, [runner.spare] * size, own=True)
