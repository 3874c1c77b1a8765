from __future__ import annotations

import pytest
import torch

from fef.laws.speedup import re_predictions, speedup, tokens_per_round

# FeF-DLLM (arXiv 2605.14305): (window, steps) -> speed-up at a = 0.949 with two calls per round.
TABLE = {(4, 4): 0.77, (8, 4): 1.40, (16, 4): 2.33, (16, 2): 3.89}


@pytest.mark.parametrize(("window", "steps"), TABLE)
def test_published_table(window, steps):
    found = speedup(0.949, window, steps, draft_cost=1, verify_cost=1, bonus=False, first_free=True)
    assert round(found, 2) == TABLE[window, steps]


def test_upper_bounds_of_the_call_count_model():
    at = [speedup(1.0, 16, T, draft_cost=1, verify_cost=1, bonus=False, first_free=True) for T in (1, 2, 4)]
    assert at == pytest.approx([8, 16 / 3, 3.2])


def test_without_speculation_only_the_passes_cost():
    alone = speedup(0.0, 1, 2, draft_cost=0, verify_cost=1, bonus=False, first_free=True)
    assert alone == pytest.approx(1 / 1.5)
    assert [re_predictions(T) for T in (1, 2, 4)] == [1, 1.5, 2.5]
    assert re_predictions(7) == pytest.approx(sum(k / 7 for k in range(1, 8)))


@pytest.mark.parametrize("a", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("window", [1, 2, 7])
def test_geometric_closed_forms(a, window):
    """Leviathan et al. 2023 (arXiv 2211.17192), Eq. 1."""
    assert tokens_per_round(a, window, bonus=True, first_free=False) == pytest.approx((1 - a ** (window + 1)) / (1 - a))
    assert tokens_per_round(a, window, bonus=False, first_free=False) == pytest.approx((1 - a**window) / (1 - a))
    first_free = 1 + (1 - a ** (window - 1)) / (1 - a)
    assert tokens_per_round(a, window, bonus=False, first_free=True) == pytest.approx(first_free)
    cost = 0.05
    walltime = speedup(a, window, 1, draft_cost=window * cost, verify_cost=1, bonus=True, first_free=False)
    assert walltime == pytest.approx((1 - a ** (window + 1)) / (1 - a) / (window * cost + 1))


def test_costs_are_in_any_one_unit():
    kw = {"bonus": True, "first_free": False}
    in_calls = speedup(0.8, 8, 2, draft_cost=0.4, verify_cost=1.5, **kw)
    in_ms = speedup(0.8, 8, 2, draft_cost=4.24, verify_cost=15.9, sequential_cost=10.6, **kw)
    assert in_calls == pytest.approx(in_ms)


@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("first_free", [False, True])
def test_against_simulation(bonus, first_free):
    rates = [0.9, 0.5, 0.8, 0.95, 0.7]
    n = 200_000
    accepted = torch.rand(n, 5, generator=torch.Generator().manual_seed(1)) < torch.tensor(rates)
    if first_free:
        accepted[:, 0] = True
    run = accepted.long().cumprod(1).sum(1)
    committed = (run + 1).clamp_max(5 + bonus).double()
    error = float(committed.std()) / n**0.5
    expected = tokens_per_round(rates, 5, bonus=bonus, first_free=first_free)
    assert abs(float(committed.mean()) - expected) < 4 * error
