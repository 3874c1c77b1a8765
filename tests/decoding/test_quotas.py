"""How many slots a round commits: LLaDA's and Dream's counts, and the counts of least error."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import MASK, tiny_network

import fef
from fef.decoding.quota import DreamShare, EvenShare, Everything, PerRound, Planned, Progress, Quota
from fef.laws.information import optimal_counts, resample_profile, schedule_error

# numbers committed a call by the released Dream code in float32, by "masks/steps"
DREAM = {
    (24, 24): [0, *[1] * 22, 2],
    (32, 16): [1, *[2] * 14, 3],
    (27, 13): [*[2] * 12, 3],
    (128, 128): [0, *[1] * 126, 2],
}


def counts(quota: Quota, masks: int, blocks: int = 1) -> list[int]:
    """Slots committed in each round until none is open."""
    found, open_ = [], masks
    while open_:
        one = torch.tensor([1])
        asked = int(quota(Progress(masks * one, open_ * one, len(found) * one, blocks * one)))
        found.append(min(asked, open_))
        open_ -= found[-1]
        assert len(found) <= 10 * masks + 200, "it ends"
    return found


@given(st.integers(1, 60), st.integers(1, 80), st.integers(1, 5))
def test_llada_spreads_evenly_with_the_remainder_first(masks, steps, blocks):
    own = max(1, steps // blocks)
    released = [
        masks // own + (i < masks % own) for i in range(own)
    ]  # with steps that commit nothing, if there are many
    assert counts(EvenShare(steps), masks, blocks) == [n for n in released if n]


@pytest.mark.parametrize(("masks", "steps"), DREAM)
def test_dream_rounds_as_released(masks, steps):
    assert counts(DreamShare(steps), masks) == DREAM[masks, steps]
    assert counts(DreamShare(2 * steps), masks, blocks=2) == DREAM[masks, steps]
    if masks == steps:
        assert counts(DreamShare(), masks) == DREAM[masks, steps]


@given(st.integers(1, 60), st.integers(1, 40))
def test_dream_takes_its_steps_and_no_more(masks, steps):
    found = counts(DreamShare(steps), masks)
    assert sum(found) == masks
    assert len(found) <= steps


@given(st.integers(1, 40), st.integers(1, 50))
def test_fixed_counts(masks, count):
    assert sum(counts(PerRound(count), masks)) == masks
    assert len(counts(PerRound(count), masks)) == -(-masks // count)
    assert counts(Everything(), masks) == [masks]
    assert PerRound(count).one == (count == 1)


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=7), st.integers(1, 7), st.integers(1, 8), st.sampled_from([0.0, 1.0])
)
def test_planned_counts_have_least_error_of_all(profile, length, steps, kink):
    profile = sorted((x + kink * (x > 2) for x in profile), reverse=True)
    found = counts(Planned(tuple(profile), steps), length)
    true = [float(x) for x in resample_profile(profile, length)]
    every = [c for k in range(1, min(steps, length) + 1) for c in compositions(length, k)]
    assert sum(found) == length
    assert len(found) <= steps
    assert abs(schedule_error(true, found) - min(schedule_error(true, c) for c in every)) < 1e-9


def compositions(total: int, parts: int) -> list[list[int]]:
    cuts = itertools.combinations(range(1, total), parts - 1)
    return [[b - a for a, b in itertools.pairwise((0, *c, total))] for c in cuts]


def test_a_straight_profile_asks_for_even_counts():
    assert optimal_counts([8.0, 7, 6, 5, 4, 3, 2, 1], 8, 4) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "entropy", "steps": 8}, [1, 1, 1, 1, 1, 1, 1, 2]),
        ({"method": "maskgit-plus"}, [0, *[1] * 7, 2]),
        ({"method": "topk-margin", "tokens_per_step": 4}, [4, 4, 1]),
        ({"method": "entropy", "steps": 6, "block_length": 3}, [1, 2, 1, 2, 1, 2]),
        ({"method": "low-confidence", "steps": 4}, [3, 2, 2, 2]),
        ({"method": "low-confidence", "steps": 6, "block_length": 3}, [2, 1, 2, 1, 2, 1]),
        ({"method": "random", "steps": 2}, [5, 4]),
        ({"method": "threshold", "threshold": 1.0, "steps": 3, "block_length": 9}, [3, 3, 3]),
    ],
)
def test_counts_in_the_loop(options, expected):
    out = fef.decode(tiny_network(), torch.full((2, 9), MASK), trace=True, **options)
    assert [int(r.written[0].sum()) for r in out.trace] == expected
