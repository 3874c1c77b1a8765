"""What a forward pass of several sequences costs on a device, and how fast speculation in the rows law is at that price.

In the rows law a round runs one sequence per target, so it pays only where many sequences take little longer than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np

from fef.errors import OptionError
from fef.laws.speedup import speedup, tokens_per_round

__all__ = ["ACCEPTANCE", "RowCosts", "RowsRound"]

ACCEPTANCE = 0.9
"""The assumed probability that a draft is accepted given that all before it in its round were."""


@dataclass(frozen=True)
class RowCosts:
    """A measured table: a plain forward pass of `rows[i]` sequences takes `milliseconds[i]`.

    Raises OptionError for a table that is none.
    """

    network: str  # its name
    device: str  # its name
    dtype: str  # of the weights
    length: int  # positions of each sequence
    rows: tuple[int, ...]  # ascending from 1
    milliseconds: tuple[float, ...]  # of a pass
    acceptance: float = ACCEPTANCE  # assumed probability that a draft is accepted if all before it in its round were

    def __post_init__(self) -> None:
        if not all(isinstance(r, int) for r in self.rows) or self.rows[:1] != (1,):
            raise OptionError(f"rows={self.rows!r} must be whole numbers from 1 on, such as (1, 2, 4, 8, 16).")
        if any(low >= high for low, high in pairwise(self.rows)):
            raise OptionError(f"rows={self.rows!r} must ascend.")
        if len(self.milliseconds) != len(self.rows) or not all(isfinite(t) and t > 0 for t in self.milliseconds):
            raise OptionError(
                f"milliseconds={self.milliseconds!r} must be positive, one for each of rows={self.rows!r}."
            )
        if not 0 <= self.acceptance <= 1:
            raise OptionError(f"acceptance={self.acceptance!r} must be a probability from 0 to 1.")

    def of(self, rows: int) -> float:
        """Milliseconds of `rows` sequences (0: none): linear between those measured; behind the last one in proportion to
        it, as many passes of its size."""
        if rows > self.rows[-1]:
            return self.milliseconds[-1] * rows / self.rows[-1]
        return float(np.interp(rows, self.rows, self.milliseconds)) if rows else 0.0


@dataclass(frozen=True)
class RowsRound:
    """A speculative round of `requests` requests in the rows law.

    window: drafts of each. bonus: one target more than drafts. fresh: a pass of one sequence per request makes the drafts,
    and with them the first target; otherwise the drafts cost nothing.
    """

    window: int
    bonus: bool
    fresh: bool = False
    requests: int = 1

    @property
    def rows(self) -> int:
        """Sequences of the verifying pass."""
        return self.requests * (self.window + self.bonus - self.fresh)

    def tokens(self, acceptance: float) -> float:
        """Expected tokens that a request commits."""
        return tokens_per_round(acceptance, self.window, bonus=self.bonus, first_free=self.fresh)

    def milliseconds(self, costs: RowCosts) -> float:
        """The verifying pass and the one that makes the drafts."""
        return costs.of(self.rows) + (costs.of(self.requests) if self.fresh else 0.0)

    def speed(self, costs: RowCosts, acceptance: float | None = None) -> float:
        """Predicted speed as a multiple of that of one token per pass; by default at the acceptance of the table."""
        return speedup(
            costs.acceptance if acceptance is None else acceptance,
            self.window,
            1,
            draft_cost=0.0,
            verify_cost=self.milliseconds(costs),
            sequential_cost=costs.of(self.requests),
            bonus=self.bonus,
            first_free=self.fresh,
        )
