"""How many slots a round commits: LLaDA's and Dream's counts, and the counts of least error."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import MASK, tiny_network
from torch import Tensor

import fef
from fef.decoding.transfer import (
    DreamShare,
    EvenShare,
    Everything,
    PerRound,
    Planned,
    Progress,
    TransferSchedule,
    spread,
)
from fef.laws.information import optimal_counts, resample_profile, schedule_error

# numbers committed a call by the released Dream code in float32, by "masks/steps"
DREAM = {
    (24, 24): [0, *[1] * 22, 2],
    (32, 16): [1, *[2] * 14, 3],
    (27, 13): [*[2] * 12, 3],
    (128, 128): [0, *[1] * 126, 2],
}


def counts(transfer: TransferSchedule, *sizes: int) -> list[int]:
    """Slots committed in each round, block after block, until none is open."""
    found, one = [], torch.tensor([1])
    for block, masks in enumerate(sizes):
        open_, rounds = masks, 0
        while open_:
            state = Progress(
                masks * one, open_ * one, rounds * one, block * one, lambda: torch.tensor([sizes]), 0 * one
            )
            found.append(min(int(transfer(state)), open_))
            open_, rounds = open_ - found[-1], rounds + 1
            assert rounds <= 10 * masks + 200, "it ends"
    return found


@given(st.integers(1, 60), st.integers(1, 16), st.integers(1, 5))
def test_llada_spreads_evenly_with_the_remainder_first_where_blocks_divide_the_steps(masks, own, blocks):
    released = [
        masks // own + (i < masks % own) for i in range(own)
    ]  # with steps that commit nothing, if there are many
    assert counts(EvenShare(own * blocks), *[masks] * blocks) == [n for n in released if n] * blocks


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 80))
def test_llada_takes_exactly_its_steps_or_one_a_slot(sizes, more):
    steps = len(sizes) + more
    found = counts(EvenShare(steps), *sizes)
    assert sum(found) == sum(sizes)
    assert len(found) == min(steps, sum(sizes))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 80))
def test_shares_are_dealt_in_turn_to_those_below_their_limit(most, total):
    dealt, turn = [0] * len(most), 0
    for _ in range(min(total, sum(most))):
        while dealt[turn % len(most)] == most[turn % len(most)]:
            turn += 1
        dealt[turn % len(most)] += 1
        turn += 1
    assert spread(total, tuple(most)) == tuple(dealt)


@pytest.mark.parametrize(("masks", "steps"), DREAM)
def test_dream_rounds_as_released(masks, steps):
    assert counts(DreamShare(steps), masks) == DREAM[masks, steps]
    assert counts(DreamShare(2 * steps), masks, masks) == DREAM[masks, steps] * 2
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
        ({"method": "low-confidence", "steps": 5, "block_length": 4}, [2, 2, 2, 2, 1]),
        ({"method": "low-confidence", "steps": 8, "block_length": 4}, [1, 1, 1, 1, 2, 1, 1, 1]),
        ({"method": "random", "steps": 4, "block_length": 3}, [2, 1, 3, 3]),
        ({"method": "entropy", "steps": 4, "block_length": 3}, [1, 2, 3, 3]),
        ({"method": "random", "steps": 2}, [5, 4]),
        ({"method": "threshold", "threshold": 1.0, "steps": 3, "block_length": 9}, [3, 3, 3]),
    ],
)
def test_counts_in_the_loop(options, expected):
    out = fef.decode(tiny_network(), torch.full((2, 9), MASK), trace=True, **options)
    assert [int(r.written[0].sum()) for r in out.trace] == expected


@pytest.mark.parametrize(
    ("steps", "block", "canvas"), [(63, 8, 256), (7, 8, 32), (64, 8, 256), (33, 8, 256), (5, 8, 32)]
)
@pytest.mark.parametrize("method", ["low-confidence", "random", "threshold", "entropy"])
def test_the_asked_steps_run_also_where_blocks_do_not_divide_them(steps, block, canvas, method):
    def denoiser(ids: Tensor) -> Tensor:
        return torch.zeros(*ids.shape, 4)

    denoiser.mask_id = 3  # type: ignore[attr-defined]
    rule = {"threshold": 1.0} if method == "threshold" else {}
    out = fef.decode(denoiser, torch.full((1, canvas), 3), method=method, steps=steps, block_length=block, **rule)
    assert out.stats[0]["calls"] == steps


@pytest.mark.parametrize("method", ["low-confidence", "random", "threshold", "entropy", "topk-margin"])
def test_fewer_steps_than_blocks_are_refused_before_anything_runs(method):
    def untouchable(_ids: Tensor) -> Tensor:
        raise AssertionError("ran before the steps were checked")

    untouchable.mask_id = 3  # type: ignore[attr-defined]
    ids = torch.full((2, 32), 3)
    with pytest.raises(fef.OptionError, match=r"steps=3 are fewer than the 4 blocks"):
        fef.decode(untouchable, ids, method=method, steps=3, block_length=8)
    ids[1, :16] = 0  # the other row still has four
    with pytest.raises(fef.OptionError, match=r"steps=3 are fewer than the 4 blocks"):
        fef.decode(untouchable, ids, method=method, steps=3, block_length=8)


@pytest.mark.parametrize("method", ["random", "low-confidence", "topk-margin", "threshold"])
def test_a_number_beyond_the_canvas_commits_all_of_it(method):
    every = fef.decode(tiny_network(), torch.full((2, 9), MASK), method=method, tokens_per_step=2**63 - 1)
    assert all(row["calls"] == 1 for row in every.stats)
    nine = fef.decode(tiny_network(), torch.full((2, 9), MASK), method=method, tokens_per_step=9)
    assert torch.equal(every.ids, nine.ids)


def test_a_block_takes_the_counts_of_its_stretch_of_the_profile():
    steep_then_flat = (8.0, 4.0, 2.0, 1.0, 0.5, 0.5, 0.5, 0.5)
    planned = Planned(steep_then_flat, steps=4, blocks=True)
    assert counts(planned, 4, 4) == [*optimal_counts(steep_then_flat[:4], 4, 2), *optimal_counts([0.5] * 4, 4, 2)]
    assert counts(planned, 4, 4)[:2] == [1, 3]
    straight = Planned((8.0, 7, 6, 5, 4, 3, 2, 1), steps=4, blocks=True)
    assert counts(straight, 4, 4) == [2, 2, 2, 2]
    assert counts(Planned(steep_then_flat, 4), 8) == optimal_counts(steep_then_flat, 8, 4)


def test_a_plan_in_blocks_bounds_nothing():
    assert Planned((2.0, 1.0), 2).bound is not None
    assert Planned((2.0, 1.0), 2, blocks=True).bound is None
