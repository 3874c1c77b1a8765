"""Orders chosen anew each round from laws alone are adapted: one token a round is the chain in that order, to 1e-9."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from fef.models.table import TableDenoiser
from fef.verify.integrate import integrated_law
from fef.verify.reference import Law, Table, distance, low_confidence_pass, put, sharpened, table_of

K, L = 3, 3
DENOISER = TableDenoiser.inconsistent(K, L, seed=21)
TABLE = table_of(DENOISER, K, L)
EMPTY = (K,) * L
EXACT = 1e-9
Score = Callable[[np.ndarray], float]

SCORES: dict[str, Score] = {
    "confidence": lambda p: float(p.max()),
    "margin": lambda p: float(np.sort(p)[-1] - np.sort(p)[-2]),
    "entropy": lambda p: float((p * np.log(p)).sum()),
}


def ranked_chain(table: Table, score: Score, temperature: float = 1.0, sampled: bool = False) -> Law:
    """Each round the open slot of highest score, the first of equals; then its token."""
    pipeline = sharpened(temperature)
    law: Law = {EMPTY: 1.0}
    for _ in range(L):
        after: Law = defaultdict(float)
        for state, weight in law.items():
            laws = {i: table.at[state][i] for i in range(L) if state[i] == table.mask}
            best = max(laws, key=lambda i: (score(pipeline(laws[i]) if sampled else laws[i]), -i))
            for v, p in enumerate(pipeline(laws[best])):
                after[put(state, {best: v})] += weight * p
        law = after
    return law


ADAPTED = [
    ("threshold", {"threshold": 1.0}, "confidence"),
    ("factor", {"factor": 0.0}, "confidence"),
    ("klass", {"threshold": 1.0}, "confidence"),
    ("demask", {"tau": 0.0, "influence": "probe"}, "confidence"),
    ("entropy-bounded", {"gamma": 0.0}, "entropy"),
    ("entropy", {"tokens_per_step": 1}, "entropy"),
    ("topk-margin", {"tokens_per_step": 1}, "margin"),
]


@pytest.mark.parametrize(("method", "options", "score"), ADAPTED)
def test_one_token_a_round_is_the_chain_of_its_order(method, options, score):
    assert distance(integrated_law(DENOISER, L, method=method, **options), ranked_chain(TABLE, SCORES[score])) < EXACT


@pytest.mark.parametrize(("method", "score"), [("entropy", "entropy"), ("topk-margin", "margin")])
def test_dream_ranks_the_law_that_it_samples(method, score):
    law = integrated_law(DENOISER, L, method=method, tokens_per_step=1, temperature=0.6)
    assert distance(law, ranked_chain(TABLE, SCORES[score], 0.6, sampled=True)) < EXACT


def test_the_orders_differ():
    laws = [ranked_chain(TABLE, score) for score in SCORES.values()]
    assert min(distance(a, b) for a, b in itertools.combinations(laws, 2)) > 0.5


@pytest.mark.parametrize(("method", "options"), [("low-confidence", {}), ("maskgit-plus", {"tokens_per_step": 1})])
def test_ranking_by_the_drawn_token_is_no_chain(method, options):
    law = integrated_law(DENOISER, L, method=method, **options)
    assert distance(law, low_confidence_pass(TABLE, EMPTY, sharpened())) < EXACT
    assert min(distance(law, ranked_chain(TABLE, score)) for score in SCORES.values()) > 0.05
