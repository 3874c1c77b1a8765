"""Does a sample of texts come from a stated law?"""

from __future__ import annotations

from collections import Counter

import numpy as np
from reference import Law
from scipy import stats
from torch import Tensor


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
    observed, expected = np.array(large, dtype=float).T
    return float(stats.power_divergence(observed, expected * total / expected.sum(), lambda_="log-likelihood").pvalue)
