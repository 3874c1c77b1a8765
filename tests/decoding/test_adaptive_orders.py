"""Orders chosen anew each round from laws alone are adapted: one token per round is the chain in that order, to 1e-9. With
more tokens per round, they keep a law only if they are chosen anew at fixed counts."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest

import fef
from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.models.table import TableDenoiser
from fef.verify.reference import Table, table_of
from fef.verify.tables import random_joint, random_network
from fef.verify.texts import Law, distance, law_of_joint, put, sharpened
from tests.integrated_law import integrated_law
from tests.tiny_tables import low_confidence_law

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
    assert distance(law, low_confidence_law(TABLE, EMPTY, sharpened())) < EXACT
    assert min(distance(law, ranked_chain(TABLE, score)) for score in SCORES.values()) > 0.05


def speculated(table: Table, window: int, *, hold: bool) -> Law:
    """Drafts of the state at the start of a round, in the order of their confidence there, verified by rejection. hold: all
    ranked slots are filled before the next ranking; else each round ranks anew."""
    done: Law = defaultdict(float)
    todo: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {(table.empty, ()): 1.0}
    while todo:
        after: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = defaultdict(float)
        for (state, ranking), weight in todo.items():
            slots = [i for i in range(table.length) if state[i] == table.mask]
            if not slots:
                done[state] += weight
                continue
            order = ranking or tuple(sorted(slots, key=lambda i, s=state: -table.at[s][i].max()))
            reached = {state: weight}
            for n, slot in enumerate(order[:window], 1):
                accepted: Law = defaultdict(float)
                for before, share in reached.items():
                    p, q = table.at[before][slot], table.at[state][slot]
                    for v in range(table.mask):
                        text = put(before, {slot: v})
                        accepted[text] += share * min(p[v], q[v])
                        after[text, order[n:] if hold else ()] += share * max(p[v] - q[v], 0.0)
                reached = accepted
            for text, share in reached.items():
                after[text, order[window:] if hold else ()] += share
        todo = after
    return done


def test_ranking_at_fixed_counts_leaves_no_trace_of_the_window():
    laws = [speculated(TABLE, window, hold=True) for window in (1, 2, 3)]
    assert max(distance(laws[0], law) for law in laws[1:]) < 1e-12


def test_ranking_at_the_end_of_a_round_lets_the_window_into_the_law():
    narrow, wide = (speculated(TABLE, window, hold=False) for window in (1, 3))
    assert distance(narrow, wide) > 0.05
    assert distance(narrow, ranked_chain(TABLE, SCORES["confidence"])) < 1e-12
    joint = random_joint(K, L)
    consistent = table_of(TableDenoiser(joint), K, L)
    assert distance(speculated(consistent, 3, hold=False), law_of_joint(joint)) < 1e-12


@pytest.mark.parametrize("method", fef.methods())
def test_no_plan_speculates_in_a_ranked_order(method):
    plan = make_plan(method, {}, Network(random_network("network", 0, K)))
    assert plan.speculation is None or plan.rule.in_order
