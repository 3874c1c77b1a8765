from __future__ import annotations

import itertools

import pytest
import torch
from laws_helpers import random_law, site

from fef.laws.draws import Purpose
from fef.laws.integrate import EnumeratedNoise, enumerate_outcomes, merge
from fef.laws.tape import ReplayError


def test_independent_slots_give_the_product_law():
    p_SV = random_law(3, 4, seed=0)

    def run(noise, rows):
        n = rows.numel()
        return noise.categorical(p_SV.log().expand(n, 3, 4), site(n, 3), Purpose.TOKEN)

    found = enumerate_outcomes(run, 1)
    texts, law = merge(found.outcome, found.probability_N)
    assert law.numel() == found.probability_N.numel() == 4**3  # every path once
    expected = [float(p_SV[0, a] * p_SV[1, b] * p_SV[2, c]) for a, b, c in texts.tolist()]
    assert law.tolist() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("max_rows", [1, 3, 4096])
def test_later_decisions_may_depend_on_earlier_ones(max_rows):
    """A coin whose bias depends on the state; heads draws a token; the token biases a second coin."""
    bias, p_V = torch.tensor([0.2, 0.9], dtype=torch.float64), random_law(3, seed=1)
    second = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)

    def run(noise, rows):
        n = rows.numel()
        assert n <= max_rows or max_rows == 1
        heads = noise.bernoulli(bias[rows][:, None], site(n, 1), Purpose.ACCEPT)[:, 0]
        token = torch.full((n,), -1)
        chosen = heads.nonzero()[:, 0]
        part = noise.select(chosen)
        m = chosen.numel()
        token[chosen] = part.categorical(p_V.log().expand(m, 1, 3), site(m, 1), Purpose.TOKEN)[:, 0]
        active = heads[:, None]
        last = noise.bernoulli(second[token.clamp_min(0)][:, None], site(n, 1).where(active), Purpose.REMASK)[:, 0]
        return torch.stack([heads.long(), token, (last & heads).long()], 1)

    found = enumerate_outcomes(run, 2, max_rows=max_rows)
    for state in (0, 1):
        mine = found.state_N == state
        outcomes, law = merge(found.outcome[mine], found.probability_N[mine])
        expected = {(0, -1, 0): 1 - float(bias[state])}
        for v, hit in itertools.product(range(3), (0, 1)):
            p = float(bias[state] * p_V[v] * (second[v] if hit else 1 - second[v]))
            if p > 0:
                expected[1, v, hit] = p
        assert {tuple(o): float(p) for o, p in zip(outcomes.tolist(), law, strict=True)} == pytest.approx(expected)
        assert int(mine.sum()) == len(expected)


def test_point_masses_and_inactive_slots_do_not_fork():
    logp = torch.tensor([[0.0, -torch.inf], [0.5**0.5, 0.5**0.5]], dtype=torch.float64)
    logp[1] = torch.tensor([0.5, 0.5]).log()

    def run(noise, rows):
        n = rows.numel()
        here = site(n, 2).where(torch.tensor([True, False]))
        sure = noise.bernoulli(torch.tensor([[0.0, 1.0]]).expand(n, 2), site(n, 2), Purpose.ACCEPT)
        assert sure.tolist() == [[False, True]] * n
        return noise.categorical(logp.expand(n, 2, 2), here, Purpose.TOKEN)

    found = enumerate_outcomes(run, 3)
    assert found.state_N.tolist() == [0, 1, 2]
    assert found.probability_N.tolist() == [1, 1, 1]


def test_negligible_paths_are_left_out():
    p = torch.tensor([1 - 1e-9, 1e-9], dtype=torch.float64)

    def run(noise, rows):
        n = rows.numel()
        return noise.categorical(p.log().expand(n, 2, 2), site(n, 2), Purpose.TOKEN)

    found = enumerate_outcomes(run, 1, prune=1e-16)
    assert sorted(found.outcome.tolist()) == [[0, 0], [0, 1], [1, 0]]  # both rare: 1e-18
    assert float(found.probability_N.sum()) == pytest.approx(1, abs=1e-15)


def test_a_uniform_number_cannot_be_enumerated():
    def run(noise, rows):
        return noise.uniform(site(rows.numel(), 1), Purpose.ORDER)

    with pytest.raises(NotImplementedError, match="ORDER"):
        enumerate_outcomes(run, 1)


def test_a_row_cannot_be_selected_twice():
    def run(noise, rows):
        assert isinstance(noise, EnumeratedNoise)
        noise.select(torch.tensor([0, 0]))
        return rows

    with pytest.raises(AssertionError, match="twice"):
        enumerate_outcomes(run, 1)


def test_a_decision_that_is_certain_in_one_batch_only():
    """The last bits of a sum depend on the shape of the batch: alone, a row accepts surely; among others, all but surely."""
    p_V = random_law(3, seed=1)

    def run(noise, rows):
        n = rows.numel()
        token = noise.categorical(p_V.log().expand(n, 1, 3), site(n, 1), Purpose.DRAFT)
        sure = torch.full((n, 1), 1.0 if n == 1 else 0.9999999999999997, dtype=torch.float64)
        accepted = noise.bernoulli(sure, site(n, 1), Purpose.ACCEPT)
        last = noise.categorical(p_V.log().expand(n, 1, 3), site(n, 1, first=1), Purpose.TOKEN)
        return torch.cat([token, accepted.long(), last], 1)

    for max_rows in (1, 2, 4096):
        found = enumerate_outcomes(run, 1, max_rows=max_rows)
        expected = [float(p_V[a] * p_V[b]) for a, accepted, b in found.outcome.tolist() if accepted]
        assert found.probability_N.tolist() == pytest.approx(expected, abs=1e-14)
        assert len(expected) == 3 * 3


def one_coin_then(second):
    """Decide a coin, then whatever `second` does with the noise and the number of rows."""

    def run(noise, rows):
        n = rows.numel()
        heads = noise.bernoulli(torch.full((n, 1), 0.3, dtype=torch.float64), site(n, 1), Purpose.ORDER)
        second(noise, n)
        noise.bernoulli(torch.full((n, 1), 0.5, dtype=torch.float64), site(n, 1, first=7), Purpose.REMASK)
        return heads

    return run


def coin(noise, n, prob=0.4, **where):
    noise.bernoulli(torch.full((n, 1), prob, dtype=torch.float64), site(n, 1, **where), Purpose.ACCEPT)


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (
            lambda noise, n: coin(noise, n, first=3 if n == 1 else 4),
            "meets ACCEPT at position 4 .* ACCEPT at position 3",
        ),
        (lambda noise, n: coin(noise, n, step=1 if n == 1 else 2), r"\(step 2, attempt 0\)"),
        (lambda noise, n: coin(noise, n, attempt=n), r"\(step 0, attempt 1\)"),
        (lambda noise, n: coin(noise, n) if n == 1 else None, "meets REMASK at position 7 .* decided ACCEPT"),
        (lambda noise, n: coin(noise, n, prob=0.4 if n == 1 else 0.6), "has probability 0.* where it had 0"),
        (lambda noise, n: coin(noise, n, prob=0.4 if n == 1 else 0.0), "has probability 0 where it had 0"),
        (lambda noise, n: coin(noise, n, prob=0.4 if n == 1 else torch.nan), "has probability nan"),
    ],
    ids=["position", "step", "attempt", "purpose", "probability", "certain", "nan"],
)
def test_a_replay_that_is_another_path_is_named(second, named):
    """The first run has one row, its forks run together: so `n` stands for whatever differs in the last bits."""
    with pytest.raises(ReplayError, match=f"(?s){named}"):
        enumerate_outcomes(one_coin_then(second), 1)


def test_a_replay_that_ends_early_is_named():
    def run(noise, rows):
        n = rows.numel()
        coin(noise, n)
        if n == 1:
            coin(noise, n, first=1)
        return rows

    with pytest.raises(ReplayError, match="ends after 1 decisions, not 2 or more"):
        enumerate_outcomes(run, 1)


def test_another_number_of_outcomes_is_named():
    def run(noise, rows):
        n = rows.numel()
        size = 3 if n == 1 else 2
        return noise.categorical(torch.full((n, 1, size), 1 / size).double().log(), site(n, 1), Purpose.TOKEN)

    with pytest.raises(ReplayError, match=r"TOKEN at position 0 .* of 2 outcomes"):
        enumerate_outcomes(run, 1)


@pytest.mark.parametrize("total", [0.99, 1.01, 1 + 1e-8, torch.nan])
def test_laws_that_do_not_sum_to_1_are_named(total):
    def run(noise, rows):
        n = rows.numel()
        p_MV = torch.tensor([[0.5, 0.5], [0.5, total - 0.5]], dtype=torch.float64)
        return noise.categorical(p_MV[rows][:, None].log(), site(n, 1), Purpose.TOKEN)

    with pytest.raises(ReplayError, match=r"paths from state 1 sum to (0\.99|1\.01|1\.00000001|nan), not 1"):
        enumerate_outcomes(run, 2)


def test_what_is_pruned_is_counted():
    """Many rare outcomes, of 1e-6 together: none is followed, and the total still holds."""
    p_V = torch.cat([torch.tensor([1 - 1e-6]), torch.full((100,), 1e-8)]).double()
    p_V /= p_V.sum()

    def run(noise, rows):
        n = rows.numel()
        return noise.categorical(p_V.log().expand(n, 1, 101), site(n, 1), Purpose.TOKEN)

    found = enumerate_outcomes(run, 1, prune=1e-7)
    assert found.outcome.tolist() == [[0]]
    assert found.probability_N.tolist() == pytest.approx([1 - 1e-6], abs=1e-9)
