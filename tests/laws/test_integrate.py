from __future__ import annotations

import itertools

import pytest
import torch
from laws_helpers import random_law, site

from fef.laws.draws import Purpose
from fef.laws.integrate import EnumeratedNoise, enumerate_outcomes, merge


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
