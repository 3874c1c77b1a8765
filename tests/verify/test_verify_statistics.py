"""The statistics against scipy, closed forms, and samples of known laws."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fef.models.markov import MarkovDenoiser
from fef.verify.statistics import chi_square_tail, excess_ngram_error, g_test, witnessed_distance
from fef.verify.texts import Law

LAW: Law = {(0, 0): 0.4, (0, 1): 0.3, (1, 0): 0.2, (1, 1): 0.1}


def sample(law: Law, count: int, seed: int = 0) -> torch.Tensor:
    texts = torch.tensor(list(law))
    weights = torch.tensor(list(law.values()))
    return texts[torch.multinomial(weights, count, replacement=True, generator=torch.Generator().manual_seed(seed))]


@given(st.floats(0, 200), st.integers(1, 80))
def test_the_tail_is_scipys(x, freedom):
    assert chi_square_tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("seed", range(5))
def test_the_g_test_is_scipys(seed):
    texts = sample(LAW, 1000, seed)
    counts = Counter(map(tuple, texts.tolist()))
    expected = stats.power_divergence(
        [counts[t] for t in LAW], [1000 * p for p in LAW.values()], lambda_="log-likelihood"
    )
    assert g_test(texts, LAW) == pytest.approx(expected.pvalue)
    assert g_test(texts, LAW) > 1e-4


def test_the_g_test_pools_rare_texts_and_refuses_excluded_ones():
    rare = {(0,): 0.998, (1,): 0.001, (2,): 0.001}
    assert g_test(sample(rare, 1000), rare) > 1e-4
    assert g_test(torch.tensor([[0]] * 999 + [[3]]), rare) == 0
    assert g_test(torch.zeros(5, 1).long(), {(0,): 1.0}) == 1


def test_a_witnessed_distance_is_unbiased():
    """0 for the law itself at any sample size, where counts put into the formula would say 0.03."""
    found = [witnessed_distance(sample(LAW, 400, seed), LAW)[0] for seed in range(200)]
    assert abs(sum(found) / len(found)) < 0.01
    covered = [low <= 0 <= high for low, high in (witnessed_distance(sample(LAW, 400, s), LAW)[1] for s in range(200))]
    assert sum(covered) > 0.9 * len(covered)


def test_a_witnessed_distance_finds_a_large_one():
    other = dict(zip(LAW, reversed(LAW.values()), strict=True))
    distance, (low, high) = witnessed_distance(sample(other, 20_000), LAW)
    assert low < distance < high
    assert distance == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("n", [2, 3])
def test_ngrams_pass_true_texts_and_catch_shuffled_ones(n):
    chain = MarkovDenoiser.random(4, seed=0)
    texts = chain.sample(300, 16, torch.Generator().manual_seed(7))
    _, (low, high), p_value = excess_ngram_error(texts, chain, n)
    assert low < 0 < high
    assert p_value > 1e-4
    shuffled = texts[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    excess, _, p_value = excess_ngram_error(shuffled, chain, n)
    assert excess > 0.1
    assert p_value < 1e-9
