"""Which window a round should have: measured cost of a pass of that width against the tokens it is likely to commit."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fef.models.costs import Costs, PassCost, check_conditions, costs_json, no_costs, read_costs
from fef.models.packed_pass import RoundShape

__all__ = ["CostTable", "Survival", "choose_shape"]

FIRST_GUESS = 0.9  # chance that a draft holds, before any was seen
_MEMORY = 500.0  # rounds after which an observation counts half


@dataclass
class CostTable:
    """Seconds of a round by (rows, window), inf where memory does not suffice: a median of replays on a GPU, a moving mean of
    the rounds run on a CPU. cost_key: the network, device and so on that it holds for."""

    cost_key: dict[str, Any] = field(default_factory=dict)
    seconds: dict[tuple[int, int], float] = field(default_factory=dict)

    def cost(self, rows: int, window: int) -> float | None:
        """Seconds of a round; between measured numbers of rows on a straight line, None for a window never measured."""
        known = sorted(r for r, w in self.seconds if w == window)
        if not known:
            return None
        above = min(bisect_left(known, rows), len(known) - 1)
        below = max(above - 1, 0) if known[above] != rows else above
        low, high = known[below], known[above]
        first, last = self.seconds[low, window], self.seconds[high, window]
        if low == high:
            return first * max(1.0, rows / low)
        return first + (last - first) * (rows - low) / (high - low)

    def save(self, path: Path | str) -> None:
        """Write the table for `load`; see `fef.models.costs`."""
        passes = [PassCost(rows, seconds, window) for (rows, window), seconds in sorted(self.seconds.items())]
        Path(path).write_text(costs_json(Costs("rounds", self.cost_key, passes)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, cost_key: dict[str, Any]) -> CostTable:
        """A saved table. Raises InputError for a file that cannot be read or that holds for another `cost_key`."""
        found = read_costs(path, "rounds")
        check_conditions(found.conditions, cost_key, "rounds", f"The round costs in {path}")
        seconds = {(cost.rows, cost.window): cost.seconds for cost in found.passes if cost.window is not None}
        if len(seconds) < len(found.passes):
            raise no_costs(path, "rounds", "a pass has no window, or one is there twice")
        return cls(found.conditions, seconds)


class Survival:
    """In what share of rounds the first i drafts all held, i = 1, 2, .., among rounds with a window of i or more.

    That a round verified fewer, because they were not worth it, counts as not holding. Older rounds count less.
    """

    def __init__(self, longest: int) -> None:
        # before any round, as if a few had held with the first guess
        self.tried = np.full(longest, 4.0)
        self.held = 4.0 * FIRST_GUESS ** np.arange(1, longest + 1)

    def observe(self, window: int, accepted: Sequence[int] | np.ndarray) -> None:
        """Drafts accepted in rounds of that window."""
        place = np.arange(1, len(self.tried) + 1)
        self.tried += (place <= window) * len(accepted)
        self.held += (place <= np.asarray(accepted)[:, None]).sum(0)
        fade = 1 / (1 + np.maximum(self.tried - _MEMORY, 0) / _MEMORY)
        self.tried, self.held = self.tried * fade, self.held * fade

    def tokens(self, window: int) -> float:
        """Tokens that a round of this window is expected to commit: the accepted drafts, and the one behind them."""
        chance = np.minimum.accumulate(self.held / self.tried)
        return 1.0 + float(chance[:window].sum())


def choose_shape(
    shapes: Sequence[RoundShape], rows: int, survival: Survival, cost: Callable[[int, int], float | None]
) -> RoundShape:
    """The shape of most expected tokens per second. One whose cost is unknown comes first, so that it gets known."""
    best, most = shapes[0], -1.0
    for shape in shapes:
        seconds = cost(rows, shape.window)
        if seconds is None:
            return shape
        rate = survival.tokens(shape.window) / seconds
        if rate > most:
            best, most = shape, rate
    return best
