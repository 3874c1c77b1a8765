"""Mask patterns and the packed slots of a training step: what is masked, in which order, in which draft group."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fef.laws.noise import Schedule
from fef.training.patterns import Canvases, mask_canvases, packed_slots

EOS, L = 9, 24


@st.composite
def canvases(draw: st.DrawFn) -> Canvases:
    rows = draw(st.integers(1, 6))
    starts = [draw(st.integers(0, 8)) for _ in range(rows)]
    stops = [draw(st.integers(start + 1, L)) for start in starts]
    texts = [draw(st.integers(0, stop - start)) for start, stop in zip(starts, stops, strict=True)]
    ids = torch.zeros(rows, L, dtype=torch.int64)
    for b, (start, stop, text) in enumerate(zip(starts, stops, texts, strict=True)):
        ids[b, start + text : stop] = EOS
    return Canvases(ids, torch.tensor(starts), torch.tensor(stops), torch.tensor(stops))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(canvases(), st.integers(0, 99), st.sampled_from(["linear", "cosine"]))
def test_masks_stay_in_the_response_and_no_row_is_empty(batch: Canvases, seed: int, schedule: str) -> None:
    masked = mask_canvases(batch, EOS, Schedule(schedule), (0.4, 0.3, 0.3), generator(seed))
    assert not (masked & ~batch.region_BL()).any()
    assert masked.any(1).all()


@given(canvases(), st.integers(0, 99))
def test_the_full_pattern_masks_the_whole_response(batch: Canvases, seed: int) -> None:
    masked = mask_canvases(batch, EOS, Schedule("linear"), (0.0, 0.0, 1.0), generator(seed))
    assert torch.equal(masked, batch.region_BL())


@given(canvases(), st.integers(0, 99))
def test_the_prefix_pattern_reveals_everything_before_its_first_mask_and_masks_text(batch: Canvases, seed: int) -> None:
    masked = mask_canvases(batch, EOS, Schedule("linear"), (0.0, 1.0, 0.0), generator(seed))
    first = masked.long().argmax(1)
    assert (first < batch.text_stop_B(EOS)).all()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_noisy_pattern_masks_as_often_as_its_schedule(schedule: str) -> None:
    rows = 4000
    batch = Canvases(
        torch.zeros(rows, L, dtype=torch.int64),
        torch.zeros(rows).long(),
        torch.full((rows,), L),
        torch.full((rows,), L),
    )
    masked = mask_canvases(batch, EOS, Schedule(schedule), (1.0, 0.0, 0.0), generator(0))
    times = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    assert masked.float().mean().item() == pytest.approx((1 - Schedule(schedule).keep(times)).mean().item(), abs=0.02)


@given(canvases(), st.integers(0, 99), st.integers(1, 30))
def test_slots_are_the_masked_text_in_order(batch: Canvases, seed: int, count: int) -> None:
    masked = mask_canvases(batch, EOS, Schedule("linear"), (0.4, 0.3, 0.3), generator(seed))
    slots = packed_slots(batch, masked, EOS, count, torch.tensor([2, 5]), generator(seed))
    for b in range(len(masked)):
        text = [i for i in masked[b].nonzero()[:, 0].tolist() if i < int(batch.text_stop_B(EOS)[b])]
        found = [i for i in slots.index_BM[b].tolist() if i >= 0]
        assert found == text[:count]
        assert slots.rank_BL[b][masked[b]].tolist() == list(range(int(masked[b].sum())))
        assert (slots.rank_BL[b][~masked[b]] == -1).all()


@given(canvases(), st.integers(0, 99))
def test_draft_groups_are_runs_that_start_at_or_before_their_members(batch: Canvases, seed: int) -> None:
    masked = batch.region_BL()
    slots = packed_slots(batch, masked, EOS, L, torch.tensor([3, 4]), generator(seed))
    start, rank = slots.group_start_BM, torch.arange(slots.group_start_BM.shape[1])
    assert (start <= rank).all()
    assert (rank - start < 4).all()
    assert (start.diff(dim=1) >= 0).all()
