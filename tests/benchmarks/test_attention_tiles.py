"""The measure of attention in training: tiles of any size give the same output."""

from __future__ import annotations

import attention_tiles
import pytest
import torch
from attention_tiles import Tiles, main, random_row, time_tiles

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


BAD = {
    "a name of no option": (["--also", "fwd_BLOCK_X=64"], "fwd_BLOCK_X. Did you mean 'BLOCK_N'?"),
    "a block of one pass": (["--also", "fwd_block=64"], "names no option of the kernels"),
    "the second is bad": (["--also", "block=64", "PRESCALE_QK=1,block"], "name=number with commas"),
    "a name twice": (["--also", "block=64,block=32"], "each name once"),
    "no block": (["--also", "block=0"], "--also block=0 must be a whole number of at least 1."),
    "no warps": (["--also", "block=64,bwd_num_warps=0"], "--also bwd_num_warps=0 must be"),
    "digits": (["--also", "block=" + "9" * 5000], "name=number"),
    "a row of no blocks": (
        ["--row-tokens", "100"],
        "--row-tokens=100 must be a whole number of at least 128 and",
    ),
    "a row of parts of blocks": (["--row-tokens", "200"], "--row-tokens must be a multiple of 128; got 200."),
    "no slots": (["--slots", "0"], "--slots=0 must be a whole number of at least 1 and at most 65536."),
    "no answer": (
        ["--canvas-length", "1"],
        "--canvas-length=1 must be a whole number of at least 2 and at most 65536.",
    ),
    "other digits": (["--also", "block=\u0663"], "name=number with commas"),
    "two passes": (["--also", "fwd_bwd_BLOCK_M=16"], "names no option of the kernels"),
    "a flag of more": (
        ["--also", "PRESCALE_QK=7"],
        "--also PRESCALE_QK=7 must be a whole number of at least 0 and at most 1",
    ),
    "a line": (["--also", "a\nb=1"], "name=number with commas"),
    "a canvas of any length": (["--canvas-length", "9" * 20], "at least 2 and at most 65536."),
    "a row of any length": (["--row-tokens", str(2**70)], "at least 128 and at most 1048576."),
    "streams of any length": (["--slots", "9" * 20], "at least 1 and at most 65536."),
    "no such device": (["--device", "abacus"], "cannot be used here"),
}


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_timed_is_refused_before_anything_is_printed(
    given: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attention_tiles, "random_row", None)
    with pytest.raises(SystemExit) as ended:
        main(["--shape", "tiny", "--device", "cpu", *given])
    said, errors = capsys.readouterr()
    assert ended.value.code == 2 and said == "" and words in errors and errors.count("\n") == 1


def test_flags_and_sizes_of_either_pass_are_options_of_the_kernels() -> None:
    words = "PRESCALE_QK=0,bwd_WRITE_DQ=1,fwd_num_stages=3,num_warps=8"
    found = Tiles.read(words, 32)
    assert found.options == {"PRESCALE_QK": 0, "bwd_WRITE_DQ": 1, "fwd_num_stages": 3, "num_warps": 8}
