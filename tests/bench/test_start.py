"""The measure of a start: loading, memory, and one answer at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from fef.bench.start import Options, measure
from fef.measure.program import options_of
from fef.training.adapt import AdaptOptions, adapt
from fef.training.trainer import TrainOptions
from tests.tiny_causal import write_causal, write_conversations


@pytest.fixture
def fef_adapted(tmp_path: Path) -> Path:
    """A tiny diffusion model that was adapted from a causal one."""
    base, data = write_causal(tmp_path / "base"), write_conversations(tmp_path / "x.jsonl")
    options = TrainOptions(steps=1, canvas_length=8, packed_count=8, infill_share=0.0, optimizer="adamw")
    adapt(str(base), data, tmp_path / "m", AdaptOptions(batch_tokens=384, max_prompt=48), options)
    return tmp_path / "m"


def test_a_start_is_measured_and_its_law_told(fef_adapted):
    found = measure(Options(str(fef_adapted), "float32", "int8", tokens=12, window=4))
    assert found["load_seconds"] > 0 < found["load_core_seconds"]
    assert 50 < found["load_megabytes"] <= found["peak_megabytes"]
    assert found["tokens_per_second"] > 0 < found["tokens_per_core_second"]
    assert 1 / 2 <= found["tokens_per_pass"] <= 12
    assert "int8" in found["law"]
    assert "no end token" in found["law"]


def test_the_checkpoint_of_real_language_is_measured_by_default():
    assert options_of(Options, None, []).model == "smol"
    assert options_of(Options, None, ["--weights", "int8", "--tokens", "7"]).tokens == 7
