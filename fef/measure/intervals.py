"""95 % intervals, a test of pairs, and the error of a rate. Pure functions on numbers.

There are two intervals. A share (problems right, texts in an event) has Wilson's, since it needs no luck to be near its level
and has a width also where none or all are right, as happens here with few problems. A mean of pairs (a difference of two
methods on the same problems, a ratio of two servers asked in turn) has the percentile bootstrap over whole pairs, so that
what is the same in both cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = [
    "NORMAL_95",
    "RESAMPLES",
    "difference_interval",
    "discordant",
    "mcnemar",
    "mean_interval",
    "mean_per_token",
    "share_interval",
]

NORMAL_95 = 1.959963984540054  # the normal quantile of a two-sided level of 95 %
RESAMPLES = 10_000
TAILS = (0.025, 0.975)


def share_interval(right: float, count: int) -> tuple[float, float]:
    """Wilson's score interval of the share right / count (JASA 22, 1927), inside [0, 1].

    It has a width also where none or all are right: 20 of 20 gives 0.839 to 1.
    """
    assert 0 <= right <= count and count > 0, "a share of at least one"
    share, z = right / count, NORMAL_95
    shrink = 1 / (1 + z * z / count)
    centre = shrink * (share + z * z / (2 * count))
    half = shrink * z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # exact at the ends, where rounding would leave a trace
    return 0.0 if right == 0 else centre - half, 1.0 if right == count else centre + half


def mean_interval(values: Sequence[float], counts: Sequence[int] | None = None, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of the mean (Efron, Ann. Stat. 7, 1979). counts: how often each value was found,
    by default once."""
    number = len(values) if counts is None else sum(counts)
    chances = np.ones(len(values)) / number if counts is None else np.array(counts) / number
    # resampling with replacement makes the numbers of the values multinomial
    drawn = np.random.default_rng(seed).multinomial(number, chances, RESAMPLES)
    low, high = np.quantile(drawn @ np.array(values) / number, TAILS)
    return float(low), float(high)


def difference_interval(first: Sequence[bool], second: Sequence[bool], seed: int) -> tuple[float, float]:
    """The interval of the share right in `first` less that in `second`, problem by problem: a pair adds 1, -1 or 0."""
    gained, lost = discordant(first, second)
    return mean_interval((1, -1, 0), (gained, lost, len(first) - gained - lost), seed)


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


def mean_per_token(nats: Sequence[float], tokens: Sequence[int]) -> tuple[float, float]:
    """The nats of several texts per token, and the standard error of that, from text to text."""
    rate = sum(nats) / sum(tokens)
    spread = sum((n - rate * t) ** 2 for n, t in zip(nats, tokens, strict=True))  # of a ratio of sums
    return rate, math.sqrt(spread) / sum(tokens)
