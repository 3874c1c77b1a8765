"""The bootstrap interval of paired right-or-wrong outcomes, and the Pareto frontier. Pure functions on numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fef.paired import discordant

__all__ = ["difference_interval", "frontier"]

RESAMPLES = 10_000
TAILS = (0.025, 0.975)


def difference_interval(first: Sequence[bool], second: Sequence[bool], seed: int) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of the share right in `first` less that in `second`, problem by problem.

    Both answer the same problems in the same order; whole pairs are resampled, so what makes a problem hard for both
    cancels.
    """
    count = len(first)
    assert count == len(second) > 0, "a pair per problem"
    gained, lost = discordant(first, second)
    # a pair adds 1, -1 or 0; resampling pairs with replacement makes the numbers of the three multinomial
    chances = np.array([gained, lost, count - gained - lost]) / count
    drawn = np.random.default_rng(seed).multinomial(count, chances, RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / count, TAILS)
    return float(low), float(high)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices, cheapest first, of the (cost, gain) points that no other point dominates.

    A point dominates another if it costs no more and gains no less, and is better in one of the two; so equal points
    stay together.
    """
    kept: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not kept or points[i][1] > points[kept[-1]][1] or points[i] == points[kept[-1]]:
            kept.append(i)
    return kept
