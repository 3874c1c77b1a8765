"""The information profile measured on texts, and what the schedule method makes of it: enumeration of a small joint."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tiny_network import EOS, tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.network import Network
from fef.decoding.order import decoding_order
from fef.laws.draws import KeyedNoise
from fef.laws.information import optimal_counts, schedule_error
from fef.verify.reference import table_of
from fef.verify.tables import random_joint
from fef.verify.texts import Law, law_of_joint
from tests.integrated_law import integrated_law
from tests.tiny_tables import EMPTY, EndingTable, K, L, consistent, inconsistent

TEXTS = 4000


def texts_of(joint: torch.Tensor, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    code = torch.multinomial(joint.flatten(), count, replacement=True, generator=generator)
    return torch.stack(torch.unravel_index(code, joint.shape), 1)


def exact_profile(joint: np.ndarray) -> list[float]:
    """E H(X_S, X_i) - H(X_S) over random subsets S of k others, by enumeration."""

    def entropy(sites: tuple[int, ...]) -> float:
        p = joint.sum(tuple(i for i in range(joint.ndim) if i not in sites)).ravel()
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    means = [np.mean([entropy(s) for s in itertools.combinations(range(joint.ndim), k)]) for k in range(joint.ndim + 1)]
    return [float(f) for f in np.diff(means)]


def kl(p: Law, q: Law) -> float:
    return sum(p[s] * math.log(p[s] / q[s]) for s in p if p[s] > 0)


@pytest.mark.parametrize("batch_size", [TEXTS, 300])
def test_it_is_the_mean_conditional_entropy_of_a_consistent_table(batch_size: int) -> None:
    joint = random_joint()
    found = fef.information_profile(consistent(), texts_of(joint, TEXTS), batch_size=batch_size)
    exact = exact_profile(joint.numpy())
    for f, error, truth in zip(found.nats, found.errors, exact, strict=True):
        assert 0 < error < 0.02
        assert abs(f - truth) < 4 * error
    assert found.texts == TEXTS


def test_texts_of_another_law_show() -> None:
    other = texts_of(random_joint(seed=5), TEXTS)
    found = fef.information_profile(consistent(), other, batch_size=TEXTS)
    exact = exact_profile(random_joint().numpy())
    assert max(abs(f - truth) / error for f, error, truth in zip(found.nats, found.errors, exact, strict=True)) > 10


@pytest.mark.parametrize("counts", [(1, 3), (2, 2), (4,), (1, 1, 1, 1)])
def test_schedule_error_is_the_mean_kl_over_orders(counts: tuple[int, ...]) -> None:
    joint = random_joint()
    table, truth = table_of(consistent(), K, L), law_of_joint(joint)
    found = []
    for order in itertools.permutations(range(L)):
        law: Law = {}
        for text in truth:
            state, p = list(EMPTY), 1.0
            for stop, count in zip(itertools.accumulate(counts), counts, strict=True):
                together = order[stop - count : stop]
                p *= math.prod(float(table.at[tuple(state)][i][text[i]]) for i in together)
                for i in together:
                    state[i] = text[i]
            law[text] = p
        found.append(kl(truth, law))
    assert np.mean(found) == pytest.approx(schedule_error(exact_profile(joint.numpy()), counts), abs=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_schedule_method_makes_exactly_that_error(steps: int) -> None:
    joint = random_joint()
    denoiser, truth, profile = consistent(), law_of_joint(joint), exact_profile(joint.numpy())
    denoiser.information_profile = tuple(profile)  # type: ignore[attr-defined]
    mean = np.mean(
        [
            kl(truth, integrated_law(denoiser, L, method="schedule", steps=steps, rank=rank))
            for rank in itertools.permutations(range(L))
        ]
    )
    assert mean == pytest.approx(schedule_error(profile, optimal_counts(profile, L, steps)), abs=1e-9)


def test_an_order_that_follows_entropy_makes_another_error() -> None:
    joint = random_joint()
    law = integrated_law(consistent(), L, method="entropy", tokens_per_step=2)
    assert abs(kl(law_of_joint(joint), law) - schedule_error(exact_profile(joint.numpy()), (2, 2))) > 0.01


@pytest.mark.parametrize("eos_id", [None, EOS])
def test_every_point_is_the_mean_over_masked_slots_under_the_law_that_is_decoded(eos_id: int | None) -> None:
    prompt, canvas = 1, 3
    model = tiny_network(scale=0.4)
    texts = torch.tensor([[5, 0, EOS, EOS], [3, 1, 4, EOS], [6, EOS, EOS, EOS], [1, 4, 5, 6]])
    open_BL = (torch.arange(prompt + canvas) >= prompt).expand_as(texts)
    found = fef.information_profile(model, texts, open=open_BL, seed=[3, 1, 4, 1], eos_id=eos_id, points=9)

    network = Network(model)
    masked = texts.masked_fill(open_BL, network.mask_id)
    start = Canvas.start(masked, open_BL, masked, None)
    rank = decoding_order(start, make_plan("random", {}, network), KeyedNoise(torch.tensor([3, 1, 4, 1])))
    table = EndingTable.of(table_of(model, network.mask_id, prompt + canvas), eos_id, prompt)
    slots = list(range(prompt, prompt + canvas))
    expected = []
    for text, state, ranks in zip(texts.tolist(), masked.tolist(), rank.tolist(), strict=True):
        order, row = sorted(slots, key=ranks.__getitem__), []
        for k in range(canvas):
            laws = {i: table.law(tuple(state), i) for i in order[k:]}
            row.append(-np.mean([np.log(laws[i][text[i]]) for i in order[k:]]))
            state[order[k]] = text[order[k]]
        expected.append(row)
    means = np.minimum.accumulate(np.mean(expected, 0))
    assert found.nats == pytest.approx(tuple(means), abs=1e-9)
    assert found.errors == pytest.approx(tuple(np.std(expected, 0, ddof=1) / 2), abs=1e-9)


def test_a_text_counts_the_same_in_any_batch_and_beside_longer_ones() -> None:
    model = tiny_network(scale=0.4)
    ids = torch.tensor([[1, 3, 4, EOS, 0], [5, 6, 1, 4, EOS]])
    open_BL = torch.tensor([[False, True, True, True, False], [False, False, True, True, True]])
    both = fef.information_profile(model, ids, open=open_BL, lengths=[4, 5], seed=[0, 1], eos_id=EOS)
    one_by_one = fef.information_profile(
        model, ids, open=open_BL, lengths=[4, 5], seed=[0, 1], eos_id=EOS, batch_size=1
    )
    assert both.nats == pytest.approx(one_by_one.nats, abs=1e-9)
    other = fef.information_profile(model, ids, open=open_BL, lengths=[4, 5], seed=[9, 8], eos_id=EOS)
    assert both.nats[0] == pytest.approx(other.nats[0], abs=1e-9)
    assert both.nats[1:] != pytest.approx(other.nats[1:], abs=1e-9)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ids": torch.zeros(1, L, dtype=torch.long)}, ["two texts or more", "got 1"]),
        ({"open": torch.tensor([[True] * L, [True, False] * 2])}, ["as many open slots each", "2 or 4"]),
        ({"open": torch.zeros(2, L, dtype=torch.bool)}, ["with 0"]),
        ({"ids": torch.tensor([[0] * L, [K] * L])}, ["Text 1", "probability 0"]),
        ({"ids": torch.tensor([[0] * L, [1, 0, 2, 0]]), "eos_id": 1}, ["Text 1", "behind EOS"]),
        ({"points": 1}, ["points=1", "at least 2"]),
        ({"batch_size": 0}, ["batch_size=0", "at least 1"]),
    ],
)
def test_what_cannot_be_measured_is_refused(given: dict, words: list[str]) -> None:
    arguments = {"ids": torch.zeros(2, L, dtype=torch.long)} | given
    with pytest.raises(fef.FefError) as caught:
        fef.information_profile(inconsistent(), **arguments)
    assert all(word in str(caught.value) for word in words)
