"""Each choice rule against the same rule in plain Python, one row at a time, on random laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fef.decoders.demask import LowInfluence
from fef.decoders.entropy_bounded import EntropyBound
from fef.decoders.factor import Factor
from fef.decoders.klass import Stable
from fef.decoders.saber import RunningThreshold
from fef.decoders.threshold import Threshold
from fef.decoders.wino import WideIn
from fef.decoding.memory import Memory
from fef.decoding.unmask import Candidates, TopScore, UnmaskRule
from fef.laws.draws import KeyedNoise, Site
from fef.laws.law import Law

V = 4
Probabilities = list[float]


def candidates(
    laws_BSV: Tensor,
    sizes: list[int],
    count: list[int],
    *,
    tokens_BS: Tensor | None = None,
    influence_BSS: Tensor | None = None,
    **given_: Any,
) -> Candidates:
    """Row b has its first `sizes[b]` slots; slot s is at position 2 s."""
    B, S, _ = laws_BSV.shape
    index_BS = torch.arange(S).expand(B, S)
    slots_BS = torch.where(index_BS < torch.tensor(sizes)[:, None], 2 * index_BS, -1)
    zero_B = torch.zeros(B, dtype=torch.int64)
    values: dict[str, Any] = {
        "tokens_BS": torch.zeros(B, S, dtype=torch.int64) if tokens_BS is None else tokens_BS,
        "sampled": lambda: Law((laws_BSV**2).log()),
        "place": lambda: index_BS / S,
        "memory": Memory(B, slots_BS.device),
        "influence": lambda: influence_BSS,
        "causal": lambda: pytest.fail("no rule here asks a causal model"),
        "redraw": lambda _: pytest.fail("no rule here draws again"),
        "noise": KeyedNoise(torch.arange(B)),
        "site": Site(slots_BS.clamp(min=0), zero_B + 1, zero_B, slots_BS >= 0),
    }
    return Candidates(
        slots_BS, plain=Law(laws_BSV.log()), count_B=torch.tensor(count), length=2 * S, **(values | given_)
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, list[int], list[int]]:
    """Laws [B, S, V] from flat to nearly certain, some of them equal, and the sizes and counts of the rows."""
    rows, slots = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    sharpness_BS1 = 8 * torch.rand(rows, slots, 1, generator=generator, dtype=torch.float64)
    laws_BSV = (sharpness_BS1 * torch.randn(rows, slots, V, generator=generator, dtype=torch.float64)).softmax(-1)
    if draw(st.booleans()):
        laws_BSV[:, -1] = laws_BSV[:, 0]
    sizes = [draw(st.integers(1, slots)) for _ in range(rows)]
    return laws_BSV, sizes, [draw(st.integers(1, slots + 1)) for _ in range(rows)]


def chosen(take_BS: Tensor) -> list[set[int]]:
    return [set(row.nonzero()[:, 0].tolist()) for row in take_BS]


def ranked(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def entropy(law: Probabilities) -> float:
    return -sum(p * math.log(p) for p in law if p > 0)


def rows_of(laws_BSV: Tensor, sizes: list[int]) -> list[list[Probabilities]]:
    return [laws[:n] for laws, n in zip(laws_BSV.tolist(), sizes, strict=True)]


def same(
    rule: UnmaskRule,
    problem: tuple[Tensor, list[int], list[int]],
    plain: Callable[[list[Probabilities], int], set[int]],
) -> None:
    laws_BSV, sizes, count = problem
    found = chosen(rule.select(candidates(laws_BSV, sizes, count)))
    expected = [plain(laws, n) for laws, n in zip(rows_of(laws_BSV, sizes), count, strict=True)]
    assert found == expected


@given(problems(), st.floats(0, 1), st.booleans())
@settings(max_examples=60)
def test_threshold(problem, threshold, strict):
    def plain(laws: list[Probabilities], count: int) -> set[int]:
        best = [max(law) for law in laws]
        over = {i for i, c in enumerate(best) if c > threshold or (c == threshold and not strict)}
        return over if len(over) >= count else set(ranked(best)[:count])

    same(Threshold(threshold, strict=strict), problem, plain)


def test_a_threshold_met_exactly():
    laws_BSV = torch.tensor([[[0.5, 0.25, 0.25, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]]]).double()
    ask = candidates(laws_BSV, [3], [1])
    assert chosen(Threshold(0.5).select(ask)) == [{0, 2}]
    assert chosen(Threshold(0.5, strict=True).select(ask)) == [{0}]


@given(problems(), st.floats(0, 3))
@settings(max_examples=60)
def test_factor_takes_the_largest_count_that_its_inequality_allows(problem, factor):
    def plain(laws: list[Probabilities], _count: int) -> set[int]:
        best = [max(law) for law in laws]
        order = ranked(best)
        allowed = [n for n in range(1, len(order) + 1) if (n + 1) * (1 - best[order[n - 1]]) < factor]
        return set(order[: max(allowed, default=1)])

    same(Factor(factor), problem, plain)


@given(problems(), st.floats(0, 4))
@settings(max_examples=60)
def test_entropy_bound_takes_the_largest_set_that_fits(problem, gamma):
    def plain(laws: list[Probabilities], _count: int) -> set[int]:
        values = [entropy(law) for law in laws]
        order = ranked([-h for h in values])
        sums = [[values[i] for i in order[:n]] for n in range(1, len(order) + 1)]
        allowed = [n for n, s in enumerate(sums, 1) if sum(s[:-1]) <= gamma]  # the last is the largest
        return set(order[: max(allowed)])

    same(EntropyBound(gamma), problem, plain)


@given(problems(), st.floats(0, 1), st.sampled_from([0.001, 0.1, 1.0]), st.integers(1, 3), st.integers(2, 6))
@settings(max_examples=40)
def test_klass_over_several_rounds(problem, threshold, epsilon, history, rounds):
    """Laws drift round by round. A chosen slot leaves; a batch of rows shares one memory."""
    laws_BSV, sizes, count = problem
    rule, memory = Stable(threshold, epsilon, history), Memory(len(sizes), torch.device("cpu"))
    drift_BSV = 0.2 * torch.randn(laws_BSV.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen: list[dict[int, list[Probabilities]]] = [{} for _ in sizes]
    open_ = [set(range(n)) for n in sizes]
    for round_ in range(rounds):
        now_BSV = (laws_BSV.log() + round_**0.5 * drift_BSV).softmax(-1)
        ask = candidates(now_BSV, sizes, count, memory=memory)
        ask.site = replace(ask.site, attempt_B=torch.full_like(ask.site.attempt_B, round_))
        for b, slots in enumerate(open_):
            ask.slots_BS[b, [s for s in range(ask.slots_BS.shape[1]) if s not in slots]] = -1
        found = chosen(rule.select(ask))
        for b, slots in enumerate(open_):
            for s in slots:
                seen[b].setdefault(s, []).append(now_BSV[b, s].tolist())
            ready = {
                s
                for s in slots
                if max(seen[b][s][-1]) > threshold
                and len(seen[b][s]) > history
                and all(kl(seen[b][s][-n], seen[b][s][-n - 1]) < epsilon for n in range(1, history + 1))
            }
            best = sorted(slots, key=lambda s: (-max(seen[b][s][-1]), s))
            assert found[b] == (ready or set(best[: count[b]]))
            open_[b] = slots - found[b]


def kl(p: Probabilities, q: Probabilities) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@given(problems(), st.floats(0, 1))
@settings(max_examples=40)
def test_wino_takes_all_above_its_threshold_up_to_its_cap(problem, threshold):
    def plain(laws: list[Probabilities], _count: int) -> set[int]:
        best = [max(law) for law in laws]
        over = sum(c > threshold for c in best)
        return set(ranked(best)[: max(1, min(over, cap(len(laws))))])

    same(WideIn(threshold), problem, plain)


def cap(open_: int) -> int:
    return min(max(int(0.7 * open_), 5), 20)


@pytest.mark.parametrize(("open_", "most"), [(3, 3), (7, 5), (10, 7), (29, 20), (40, 20)])
def test_the_cap_of_wino(open_, most):
    laws_BSV = torch.full((1, open_, V), 0.001).double()
    laws_BSV[..., 0] = 0.997
    assert len(chosen(WideIn(0.6).select(candidates(laws_BSV, [open_], [1])))[0]) == most


@given(problems(), st.integers(2, 4))
@settings(max_examples=40)
def test_saber_raises_its_threshold_to_the_mean_so_far(problem, rounds):
    laws_BSV, sizes, count = problem
    rule, memory = RunningThreshold(), Memory(len(sizes), torch.device("cpu"))
    spent: list[list[float]] = [[] for _ in sizes]
    for round_ in range(rounds):
        now_BSV = laws_BSV.roll(round_, dims=1)
        found = chosen(rule.select(candidates(now_BSV, sizes, count, memory=memory)))
        for b, laws in enumerate(rows_of(now_BSV, sizes)):
            best = [max(law) for law in laws]
            mean = sum(spent[b]) / len(spent[b]) if spent[b] else math.inf
            assume(all(abs(c - mean) > 1e-12 for c in best))  # or the last bit of the mean decides
            over = {i for i, c in enumerate(best) if c > mean}
            expected = over if len(over) >= count[b] else set(ranked(best)[: count[b]])
            assert found[b] == expected
            spent[b] += [best[i] for i in found[b]]


def greedy_influence(best: list[float], influence: list[list[float]], tau: float) -> set[int]:
    taken: list[int] = []
    spent = 0.0
    for i in ranked(best):
        cost = sum(influence[j][i] for j in taken)
        if spent + cost <= tau:
            taken, spent = [*taken, i], spent + cost
    return set(taken)


@given(problems(), st.floats(0, 2), st.integers(0, 100))
@settings(max_examples=60)
def test_demask_is_greedy_under_its_budget(problem, tau, seed):
    laws_BSV, sizes, count = problem
    B, S, _ = laws_BSV.shape
    influence_BSS = torch.rand(B, S, S, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 4
    rule = LowInfluence(tau, reads_hidden=False)
    found = chosen(rule.select(candidates(laws_BSV, sizes, count, influence_BSS=influence_BSS)))
    for b, laws in enumerate(rows_of(laws_BSV, sizes)):
        assert found[b] == greedy_influence([max(law) for law in laws], influence_BSS[b].tolist(), tau)


@given(problems(), st.integers(0, 100))
@settings(max_examples=30)
def test_demask_at_its_ends_and_under_permutation(problem, seed):
    laws_BSV, _, _ = problem
    B, S, _ = laws_BSV.shape
    generator = torch.Generator().manual_seed(seed)
    laws_BSV = laws_BSV * (1 - 1e-3) + 1e-3 * torch.rand(B, S, V, generator=generator)  # no two alike
    laws_BSV = laws_BSV / laws_BSV.sum(-1, keepdim=True)
    influence_BSS = 0.01 + torch.rand(B, S, S, generator=generator, dtype=torch.float64) / 4
    full, one = [S] * B, [1] * B

    def take(tau: float, turn_S: Tensor) -> Tensor:
        turned_BSS = influence_BSS[:, turn_S][:, :, turn_S]
        return LowInfluence(tau, reads_hidden=False).select(
            candidates(laws_BSV[:, turn_S], full, one, influence_BSS=turned_BSS)
        )

    straight_S, turn_S = torch.arange(S), torch.randperm(S, generator=generator)
    assert bool((take(0.0, straight_S).sum(1) == 1).all())
    assert bool(take(1e9, straight_S).all())
    assert torch.equal(take(0.3, turn_S), take(0.3, straight_S)[:, turn_S])


SCORES: dict[str, Callable[[Probabilities, int], float]] = {
    "drawn": lambda law, token: law[token],
    "confidence": lambda law, _: max(law),
    "margin": lambda law, _: sorted(law)[-1] - sorted(law)[-2],
    "entropy": lambda law, _: -entropy(law),
}


@pytest.mark.parametrize("score", SCORES)
@given(problem=problems(), sampled=st.booleans(), left_bias=st.sampled_from([0.0, 0.3, 50.0]))
@settings(max_examples=25)
def test_scores(score, problem, sampled, left_bias):
    laws_BSV, sizes, count = problem
    B, S, _ = laws_BSV.shape
    tokens_BS = torch.arange(B * S).view(B, S) % V
    rule = TopScore(score, sampled=sampled, left_bias=left_bias)
    found = chosen(rule.select(candidates(laws_BSV, sizes, count, tokens_BS=tokens_BS)))
    for b, laws in enumerate(rows_of(laws_BSV, sizes)):
        if sampled:  # temperature 1/2
            laws = [[p**2 / sum(x**2 for x in law) for p in law] for law in laws]
        values = [SCORES[score](law, int(tokens_BS[b, i])) - left_bias * i / S for i, law in enumerate(laws)]
        order = ranked(values)
        cut = sorted(values, reverse=True)[min(count[b], len(order)) - 1]
        near = {i for i, v in enumerate(values) if abs(v - cut) < 1e-12}  # ties but for rounding
        assert found[b] - near == set(order[: count[b]]) - near
        assert len(found[b]) == min(count[b], len(order))


@pytest.mark.parametrize("score", SCORES)
def test_ties_go_to_the_first_slot(score):
    laws_BSV = torch.tensor([0.5, 0.25, 0.125, 0.125]).double().expand(2, 6, V)
    found = chosen(TopScore(score).select(candidates(laws_BSV, [6, 3], [2, 2])))
    assert found == [{0, 1}, {0, 1}]


def test_ids_named_last_come_last():
    laws_BSV = torch.tensor([[[0.9, 0.1, 0.0, 0.0], [0.0, 0.6, 0.4, 0.0], [0.0, 0.5, 0.5, 0.0]]]).double()
    tokens_BS = torch.tensor([[0, 1, 2]])
    rule = TopScore("drawn", last=(0,))
    for count, expected in [(1, {1}), (2, {1, 2}), (3, {0, 1, 2})]:
        assert chosen(rule.select(candidates(laws_BSV, [3], [count], tokens_BS=tokens_BS))) == [expected]


def test_alg_temp_draws_slots_in_proportion():
    """One slot of four, 20,000 seeds: the frequencies of softmax(score / alg_temp)."""
    laws_SV = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], [0.9, 0.1, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    rows = 20_000
    ask = candidates(laws_SV.double().expand(rows, 4, V), [4] * rows, [1] * rows)
    share_S = TopScore("confidence", alg_temp=0.3).select(ask).double().mean(0)
    expected_S = (torch.tensor([0.7, 0.4, 0.9, 0.25]).double() / 0.3).softmax(0)
    assert bool(((share_S - expected_S).abs() < 4 * (expected_S * (1 - expected_S) / rows).sqrt()).all())
