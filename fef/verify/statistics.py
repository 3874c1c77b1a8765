"""Does a sample of texts come from a stated law, and if not, how far is it?

Shapes: N texts, L their length.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

import torch
from torch import Tensor

from fef.measure.intervals import NORMAL_95, share_interval
from fef.models.markov import MarkovDenoiser
from fef.verify.texts import Law

__all__ = ["Interval", "excess_ngram_error", "g_test", "witnessed_distance"]

Interval = tuple[float, float]


def g_test(texts_NL: Tensor, law: Law, pool_below: float = 10.0) -> float:
    """p-value of the likelihood-ratio test; cells with few expected counts are pooled. 0 for an excluded text."""
    counts = Counter(map(tuple, texts_NL.tolist()))
    if any(law.get(text, 0.0) <= 0 for text in counts):
        return 0.0
    total = len(texts_NL)
    cells = [(counts[s], p * total) for s, p in law.items() if p > 0]
    large = [c for c in cells if c[1] >= pool_below]
    small = [c for c in cells if c[1] < pool_below]
    if sum(e for _, e in small) > 0:
        large.append((sum(o for o, _ in small), sum(e for _, e in small)))
    if len(large) < 2:
        return 1.0
    scale = total / sum(e for _, e in large)
    g = 2 * sum(o * math.log(o / (e * scale)) for o, e in large if o > 0)
    return chi_square_tail(g, len(large) - 1)


def chi_square_tail(x: float, freedom: int) -> float:
    shape, at = torch.tensor([freedom / 2, max(x, 0.0) / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(shape, at))


def witnessed_distance(texts_NL: Tensor, law: Law) -> tuple[float, Interval]:
    """Total variation from `law` by samples, with its 95 % interval.

    One half of the texts chooses the event that tells the two laws apart best; the other half measures the difference
    of its probability. So the estimate is unbiased for that event, near 0 for an exact sampler at any sample size, and
    never above the true distance in the mean. (Counts put into the formula of the distance are biased upwards.)
    """
    choose, measure = texts_NL[0::2], texts_NL[1::2]
    counts = Counter(map(tuple, choose.tolist()))
    event = {text for text, n in counts.items() if n / len(choose) > law.get(text, 0.0)}
    hits = sum(tuple(text) in event for text in measure.tolist())
    expected = sum(law.get(text, 0.0) for text in event)
    low, high = share_interval(hits, len(measure))
    return hits / len(measure) - expected, (low - expected, high - expected)


def excess_ngram_error(texts_NL: Tensor, chain: MarkovDenoiser, n: int) -> tuple[float, Interval, float]:
    """Total variation of the n-grams of the texts, all places pooled, beyond what as many true texts show.

    Returns the excess, its 95 % interval and the p-value. The places of a text depend on each other, so no formula of
    independent counts holds: samples of the true chain tell how large the error of an exact sampler is, and how much it
    varies (a sum of many small terms, so nearly normal).
    """
    mean, spread = ngram_floor(chain, n, *texts_NL.shape)
    excess = ngram_error(texts_NL, chain.ngram_law(n, texts_NL.shape[1])) - mean
    p_value = 0.5 * math.erfc(excess / spread / math.sqrt(2))
    return excess, (excess - NORMAL_95 * spread, excess + NORMAL_95 * spread), p_value


@cache
def ngram_floor(chain: MarkovDenoiser, n: int, count: int, length: int) -> tuple[float, float]:
    """Mean and standard deviation of the n-gram error of `count` true texts."""
    exact = chain.ngram_law(n, length)
    errors = torch.tensor([ngram_error(texts, exact) for texts in true_texts(chain, count, length)])
    return float(errors.mean()), float(errors.std())


@cache
def true_texts(chain: MarkovDenoiser, count: int, length: int, repeats: int = 60) -> tuple[Tensor, ...]:
    texts = chain.sample(repeats * count, length, torch.Generator().manual_seed(0))
    return torch.split(texts, count)


def ngram_error(texts_NL: Tensor, exact: Tensor) -> float:
    """Total variation between the n-grams of the texts and their law [K, ..., K]."""
    grams = texts_NL.unfold(1, exact.dim(), 1)  # [N, places, n]
    place = exact.shape[0] ** torch.arange(exact.dim() - 1, -1, -1)
    found = torch.bincount((grams * place).sum(-1).flatten(), minlength=exact.numel()).double()
    return 0.5 * float((found / found.sum() - exact.flatten()).abs().sum())
