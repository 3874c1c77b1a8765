"""Chooses the shape of each round of an engine (`fef.engine.choice`), and learns from what rounds took and committed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fef.engine.build import EngineParts
from fef.engine.choice import Calibration, choose_shape, with_ends
from fef.engine.costs import CostTable
from fef.engine.graphs import GraphRunner
from fef.engine.host_copies import PendingCopy
from fef.engine.measure import round_seconds
from fef.engine.runner import PassKind
from fef.errors import EngineError
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape

__all__ = ["Launch", "ShapeChooser"]

_TEXTS = 50  # of whose lengths the mean is known
_STAYS = 7  # rounds that a choice stands which was made twice: little is learned meanwhile, and to ask takes time


@dataclass(frozen=True)
class Launch:
    """A pass that was launched. number: in their order. shape: of a round; None for a context pass. rows: for which it was
    priced. settled: see `Calibration.observe`. predicted: tokens that a request is expected to get. measured: rounds that had
    been run for their costs alone."""

    number: int
    shape: RoundShape | None = None
    rows: int = 0
    settled: bool = False
    predicted: float = 0.0
    measured: int = 0


class ShapeChooser:
    """built: the shapes, and what runs them. costs: what is known of their rounds. ahead: rounds that the device may be ahead
    of the host."""

    def __init__(self, built: EngineParts, costs: CostTable, ahead: int = 0) -> None:
        self.built, self.costs, self.shapes, self.ahead = built, costs, built.shapes, ahead
        self.length, self.texts = math.inf, 0  # mean tokens of the last texts, and how many these are
        self.calibration = Calibration(self.shapes)
        self.last: RoundShape | None = None  # of the round before
        self.head = all(shape.head for shape in self.shapes)  # does it draft in context passes?
        self.read: PendingCopy | None = None  # the progress that was read last
        self.measured = 0  # rounds that were run for their costs alone
        self.stands, self.stands_for = 0, 0  # rounds for which the last choice stands, and their number of rows

    def next_shape(self, rows: int) -> RoundShape:
        """The shape of most expected tokens per second. On a GPU, costs are measured where they may decide."""
        shapes, rows = self.shapes, self.priced(rows)
        if len(shapes) == 1:
            return shapes[0]
        if self.last is not None and self.stands and self.stands_for == rows:
            self.stands -= 1
            return self.last
        tokens = {shape: with_ends(n, self.length, self.ahead) for shape, n in self.calibration.tokens.items()}
        # of a GPU's steps nothing is known between numbers of rows
        known = self.costs.seconds.get if self.replays else lambda key: self.costs.cost(*key)
        seconds = {shape: cost for shape in shapes if (cost := known((rows, shape))) is not None}
        while (shape := choose_shape(shapes, tokens, seconds, self.last)) not in seconds and self.replays:
            self.measure_shape(rows, shape)
            seconds[shape] = self.costs.seconds[rows, shape]
        again = shape == self.last and shape in seconds and self.stands_for == rows
        self.stands, self.stands_for = _STAYS if again else 0, rows
        return shape

    @property
    def replays(self) -> bool:
        """Can a round be run again for its cost, without a request?"""
        return isinstance(self.built.runner, GraphRunner)

    @property
    def graphs(self) -> set[tuple[PassKind, int]]:
        """The passes that are captured now: their kinds and numbers of rows."""
        runner = self.built.runner
        return set(runner.graphs) if isinstance(runner, GraphRunner) else set()

    def priced(self, rows: int) -> int:
        """The number of rows by which a round is priced: those of its graph."""
        runner = self.built.runner
        return runner.rounded(rows) if isinstance(runner, GraphRunner) else rows

    def launch(self, number: int, shape: RoundShape, rows: int) -> Launch:
        """A round of this shape, before it runs."""
        settled = shape == self.last or (self.last is None and shape.head == self.head)
        return Launch(number, shape, self.priced(rows), settled, self.calibration.expected(shape), self.measured)

    def launched(self, shape: RoundShape) -> None:
        """A round of this shape runs."""
        self.last, self.head = shape, shape.head

    def learn_cost(self, copy: PendingCopy) -> None:
        """What a round behind another took. copy: of the progress behind a launch, which are read in their order."""
        before, launch = self.read, copy.note
        self.read = copy
        if before is None or launch.shape is None or before.note.shape is None:
            return
        if (launch.number, launch.measured) == (before.note.number + 1, before.note.measured):
            self.costs.observe(launch.rows, launch.shape, copy.seconds_since(before))

    def learn_tokens(self, launch: Launch, accepted: np.ndarray) -> None:
        """What a launch committed, if it was of a round: drafts accepted, by request."""
        if launch.shape is not None:
            self.calibration.observe(launch.shape, accepted, predicted=launch.predicted, settled=launch.settled)

    def learn_length(self, tokens: int) -> None:
        """A denoising pass is over, in which so many tokens were drawn."""
        self.texts = min(self.texts + 1, _TEXTS)
        before = tokens if self.texts == 1 else self.length
        self.length = max(1.0, before + (tokens - before) / self.texts)

    def measure(self, rows: Sequence[int] | None = None, windows: Sequence[int] | None = None) -> CostTable:
        """Measure rounds of these numbers of rows and drafts (chains and trees), by default all that the engine may run;
        captures their graphs.

        On a GPU only: on a CPU the rounds themselves are timed. The table can be saved and given to another engine.
        """
        runner = self.built.runner
        if isinstance(runner, GraphRunner):
            for size in runner.sizes if rows is None else rows:
                for shape in self.shapes:
                    if windows is None or shape.window in windows:
                        self.measure_shape(size, shape)
        return self.costs

    def measure_shape(self, rows: int, shape: RoundShape) -> None:
        """Measure rounds of a shape on a GPU."""
        table = self.built.table
        try:
            seconds = round_seconds(self.built, PassKind(shape, Bounds(table.context, table.ranks)), rows)
        except EngineError:  # no memory for it: any other shape is better
            seconds = math.inf
        self.costs.seconds[rows, shape] = seconds
        self.measured += 1
