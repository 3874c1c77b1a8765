"""The factorization error of unmasking in a random order, from an information profile, and the schedule that minimises it.

The profile f(k), k = 0 .. L-1, is the mean entropy (nats) of a token given k others that are revealed at random. It does not
increase. Revealing tokens i .. j-1 at once costs sum_{l=i}^{j-1} [f(i) - f(l)] nats of KL(joint || product), averaged over
orders (Lavenant and Zanella 2025, arXiv 2510.25544; exact for a consistent law).

Shapes: N texts, G numbers of revealed tokens at which they were measured, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Profile", "estimate_profile", "measuring_points", "optimal_counts", "resample_profile", "schedule_error"]

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """An information profile (Lavenant and Zanella, arXiv 2510.25544)."""

    nats: tuple[float, ...]  # f(k) for k = 0 .. L-1 revealed tokens, nats per token
    errors: tuple[float, ...]  # their standard errors; between the k that were measured an upper bound
    texts: int  # how many it was measured on


def measuring_points(length: int, points: int) -> list[int]:
    """At most `points` numbers of revealed tokens from 0 to length - 1, closer together near 0, where profiles are steep."""
    share = np.linspace(0.0, 1.0, points) ** 2
    return sorted({int(k) for k in (share * (length - 1)).round()})


def estimate_profile(nats_NG: Numbers, revealed: Sequence[int], length: int) -> Profile:
    """The profile at every k from -log p (nats) of the tokens of texts, averaged over those left masked.

    nats_NG: at `revealed` tokens, ascending from 0 to length - 1. Linear in between, and made non-increasing.
    """
    texts = len(nats_NG)
    assert texts > 1, "one text has no standard error"
    assert revealed[0] == 0 and revealed[-1] == length - 1, "a profile is not extrapolated"
    error_G = nats_NG.std(axis=0, ddof=1) / np.sqrt(texts)
    share_G = np.asarray(revealed) / length
    nats_L = resample_profile(nats_NG.mean(axis=0).tolist(), length, share_G)
    error_L = np.interp(np.arange(length), revealed, error_G)
    return Profile(tuple(nats_L.tolist()), tuple(error_L.tolist()), texts)


def schedule_error(profile: Sequence[float], counts: Sequence[int]) -> float:
    """Expected KL(joint || sampled law), nats, of revealing `counts` tokens per step. counts must sum to len(profile)."""
    assert sum(counts) == len(profile), "a schedule reveals every token once"
    f = np.asarray(profile, dtype=np.float64)
    starts = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    return float((f[starts] - f).sum())


def resample_profile(profile: Sequence[float], length: int, share_G: Numbers | None = None) -> Numbers:
    """The profile at another length, linear in the revealed share, and made non-increasing (an estimate may not be).

    share_G: the shares at which it is given; by default k / len(profile).
    """
    f_G = np.minimum.accumulate(np.asarray(profile, dtype=np.float64))
    share_G = np.arange(len(f_G)) / len(f_G) if share_G is None else share_G
    return np.asarray(np.interp(np.arange(length) / length, share_G, f_G))


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
