"""The factorization error of unmasking in a random order, from an information profile, and the schedule that minimises it.

The profile f(k), k = 0 .. L-1, is the mean entropy (nats) of a token given k others that are revealed at random. It does not
increase. Revealing tokens i .. j-1 at once costs sum_{l=i}^{j-1} [f(i) - f(l)] nats of KL(joint || product), averaged over
orders (Lavenant and Zanella 2025, arXiv 2510.25544; exact for a consistent law).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["optimal_counts", "resample_profile", "schedule_error"]


def schedule_error(profile: Sequence[float], counts: Sequence[int]) -> float:
    """Expected KL(joint || sampled law), nats, of revealing `counts` tokens a step. counts must sum to len(profile)."""
    assert sum(counts) == len(profile), "a schedule reveals every token once"
    f = np.asarray(profile, dtype=np.float64)
    starts = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    return float((f[starts] - f).sum())


def resample_profile(profile: Sequence[float], length: int) -> np.ndarray:
    """The profile at another length, linear in the revealed share, and made non-increasing (an estimate may not be)."""
    f = np.minimum.accumulate(np.asarray(profile, dtype=np.float64))
    return np.interp(np.arange(length) / length, np.arange(len(f)) / len(f), f)


def optimal_counts(profile: Sequence[float], length: int, steps: int) -> list[int]:
    """Tokens to reveal at each of at most `steps` steps, of least error for `length` tokens; dynamic programme, O(K L^2)."""
    steps = min(steps, length)
    f = resample_profile(profile, length)
    total = np.concatenate([[0.0], np.cumsum(f)])
    start, end = np.arange(length + 1)[:, None], np.arange(length + 1)[None, :]
    padded = np.append(f, 0.0)
    cost = np.where(start < end, padded[start] * (end - start) - (total[end] - total[start]), np.inf)
    best, choices = cost[0], []  # best[j]: least error of revealing j tokens in the steps so far
    for _ in range(steps - 1):
        through = best[:, None] + cost
        choices.append(through.argmin(0))
        best = through.min(0)
    ends = [length]
    for choice in reversed(choices):
        ends.append(int(choice[ends[-1]]))
    return [int(n) for n in np.diff([0, *reversed(ends)])]
