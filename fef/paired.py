"""Right or wrong of two methods on the same problems, and McNemar's test of the difference. Pure functions on numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["discordant", "mcnemar"]


def discordant(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int]:
    """How many problems only `first` has right, and how many only `second`."""
    pairs = list(zip(first, second, strict=True))
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's exact test (Psychometrika 12, 1947) that two methods are right equally often.

    Of the problems that one of them alone has right, each is either's with chance 1/2: a binomial law, summed in whole
    numbers. 1 where there are none.
    """
    count, least = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(count, k) for k in range(least + 1))
    return min(1.0, 2 * tail / (1 << count))
