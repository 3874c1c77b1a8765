"""What rounds cost on this device, by shape and number of rows."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from fef.models.costs import Costs, PassCost, check_conditions, costs_json, no_costs, read_costs
from fef.models.packed_pass import RoundShape

__all__ = ["CostTable"]

# rounds of which the lower quartile counts: a host that is busy now and then makes some longer
_RECENT = 7


@dataclass
class CostTable:
    """Seconds of a round by (rows, shape), inf where memory does not suffice: on a GPU first those of replays; then, on any
    device, from the end of one round to the end of the next, so that what the host takes in between is in it. cost_key: the
    network, device and so on that it holds for."""

    cost_key: dict[str, Any] = field(default_factory=dict)
    seconds: dict[tuple[int, RoundShape], float] = field(default_factory=dict)
    recent: dict[tuple[int, RoundShape], deque[float]] = field(default_factory=dict, compare=False)

    def observe(self, rows: int, shape: RoundShape, seconds: float) -> None:
        """A round took that long. Of a shape the first one warms up: it is known once there are two."""
        recent = self.recent.setdefault((rows, shape), deque(maxlen=_RECENT))
        recent.append(seconds)
        if len(recent) > 1:
            self.seconds[rows, shape] = sorted(recent)[len(recent) // 4]

    def cost(self, rows: int, shape: RoundShape) -> float | None:
        """Seconds of a round; between measured numbers of rows and above them on a straight line, but above never less than
        the last, and below them as if rows cost the same each. None for a shape never measured."""
        known = sorted(r for r, other in self.seconds if other == shape)
        if not known:
            return None
        above = min(bisect_left(known, rows), len(known) - 1)
        below = max(above - 1, 0) if known[above] != rows else above
        low, high = known[below], known[above]
        first, last = self.seconds[low, shape], self.seconds[high, shape]
        if low == high:
            return first * rows / low
        on_line = first + (last - first) * (rows - low) / (high - low)
        return max(on_line, last) if rows > high else on_line

    def save(self, path: Path | str) -> None:
        """Write the table for `load`; see `fef.models.costs`."""
        measured = sorted(self.seconds.items(), key=lambda item: (item[0][0], astuple(item[0][1])))
        passes = [PassCost(rows, seconds, shape) for (rows, shape), seconds in measured]
        Path(path).write_text(costs_json(Costs("rounds", self.cost_key, passes)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, cost_key: dict[str, Any]) -> CostTable:
        """A saved table. Raises InputError for a file that cannot be read or that holds for another `cost_key`."""
        found = read_costs(path, "rounds")
        check_conditions(found.conditions, cost_key, "rounds", f"The round costs in {path}")
        seconds = {(cost.rows, cost.shape): cost.seconds for cost in found.passes if cost.shape is not None}
        if not seconds:
            raise no_costs(path, "rounds", "it has no pass")
        if len(seconds) < len(found.passes):
            raise no_costs(path, "rounds", "a pass has no window, or one is there twice")
        return cls(found.conditions, seconds)
