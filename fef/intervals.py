"""Confidence intervals of proportions. Pure functions on numbers."""

from __future__ import annotations

import math

__all__ = ["wilson_interval"]

NORMAL_95 = 1.959963984540054  # the normal quantile of a two-sided level of 95 %


def wilson_interval(right: int, count: int, z: float = NORMAL_95) -> tuple[float, float]:
    """Wilson's score interval of the share right / count (JASA 22, 1927), inside [0, 1]; z: the normal quantile of its level.

    It has a width also where none or all are right: 20 of 20 gives 0.839 to 1.
    """
    assert 0 <= right <= count and count > 0, "a share of at least one"
    share, shrink = right / count, 1 / (1 + z * z / count)
    centre = shrink * (share + z * z / (2 * count))
    half = shrink * z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # exact at the ends, where rounding would leave a trace
    return 0.0 if right == 0 else centre - half, 1.0 if right == count else centre + half
