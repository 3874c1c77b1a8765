"""The measure of attention in training: tiles of any size give the same output."""

from __future__ import annotations

import attention_tiles
import pytest
import torch
from attention_tiles import random_row, time_tiles

from fef.bench.engine.shapes import shape_config
from fef.bench.training import with_end
from fef.errors import OptionError
from fef.training.adapt import AdaptOptions
from fef.training.trainer import TrainOptions

CONFIG = with_end(shape_config("tiny"))
CPU = torch.device("cpu")


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_the_tiles_of_a_network_are_timed_beside_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_tiles, "REPEATS", 1)
    options = TrainOptions(canvas_length=32, packed_count=16, infill_share=0.0)
    flat = random_row(CONFIG, AdaptOptions(batch_tokens=384), options, CPU)
    monkeypatch.setattr(attention_tiles, "FLEX_OPTIONS", {})
    assert [timed.tiles for timed in time_tiles(CONFIG, flat, CPU, compiled=False)] == ["torch's"]
    monkeypatch.setattr(attention_tiles, "FLEX_OPTIONS", {CONFIG.head_size: {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64}})
    own, network = time_tiles(CONFIG, flat, CPU, compiled=False)
    assert own.forward_ms and network.forward_ms
    assert own.difference == 0 and network.difference == pytest.approx(0, abs=1e-5)
    *_, small, split = time_tiles(CONFIG, flat, CPU, False, ["block=64", "block=100"])
    assert small.tiles == "block=64" and small.difference == pytest.approx(0, abs=1e-5)
    assert split.error is not None and split.forward_ms is None
    with pytest.raises(OptionError, match="name=number"):
        list(time_tiles(CONFIG, flat, CPU, False, ["block"]))
