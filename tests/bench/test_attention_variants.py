"""The measure of attention in training: its variants are one pattern, and what cannot run says so."""

from __future__ import annotations

import pytest
import torch

from fef.bench import attention
from fef.bench.attention import VARIANTS, Variant, mask_of, random_row, time_variants
from fef.bench.engine.shapes import shape_config
from fef.bench.training import with_end
from fef.training.adapt import AdaptOptions
from fef.training.flat import Flat
from fef.training.trainer import TrainOptions

CONFIG = with_end(shape_config("tiny"))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def flat() -> Flat:
    options = TrainOptions(canvas_length=32, packed_count=16, infill_share=0.0)
    return random_row(CONFIG, AdaptOptions(batch_tokens=384), options, CPU)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_has_the_same_pattern(flat: Flat, variant: Variant) -> None:
    """Pairs in blocks that are read, and whole or allowed by the predicate, are those of the dense pattern."""
    mask = mask_of(variant, flat.intervals)
    queries, keys = mask.BLOCK_SIZE
    place = torch.arange(384)
    allowed = mask.mask_mod(place, place, place[:, None], place[None])
    found = spread(mask.kv_num_blocks, mask.kv_indices, queries, keys) & allowed
    if mask.full_kv_num_blocks is not None:
        assert mask.full_kv_indices is not None
        found |= spread(mask.full_kv_num_blocks, mask.full_kv_indices, queries, keys)
    assert torch.equal(found, flat.intervals.dense()[0])


def spread(counts: torch.Tensor, indices: torch.Tensor, queries: int, keys: int) -> torch.Tensor:
    """The pairs of listed blocks."""
    blocks = torch.zeros_like(indices[0, 0], dtype=torch.bool)
    for row, (count, order) in enumerate(zip(counts[0, 0], indices[0, 0], strict=True)):
        blocks[row, order[:count].long()] = True
    return blocks.repeat_interleave(queries, 0).repeat_interleave(keys, 1)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_variants_are_timed_and_one_that_cannot_run_says_why(flat: Flat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "REPEATS", 1)
    monkeypatch.setattr(attention, "VARIANTS", (VARIANTS[0], Variant("bad", queries=100), VARIANTS[1]))
    first, bad, second = time_variants(CONFIG, flat, CPU, 60.0, compiled=False)
    assert first.forward_ms and second.forward_ms and second.difference == pytest.approx(0, abs=1e-5)
    assert bad.error is not None and bad.forward_ms is None
    assert [timed.error for timed in time_variants(CONFIG, flat, CPU, -1.0)] == ["no time was left"] * 3
