"""A fine-tune from the checkpoint to the decoded text, and the measure of what an adapter does, at toy size."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapter_effect import compare, orders, train_adapter
from released_layout import SHAPES, write_released_layout
from safetensors import safe_open

import fef
from fef.errors import OptionError
from fef.models.checkpoint import describe
from fef.training.trainer import TrainOptions

TINY = SHAPES["tiny"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("released") / "checkpoint"
    write_released_layout(path, TINY, CPU)
    return path


def test_a_random_checkpoint_is_in_the_released_layout(checkpoint: Path) -> None:
    described = describe(checkpoint)
    assert described.family.name == "LLaDA"
    assert described.config == replace(TINY, eos_id=641, mask_id=896, max_length=4096, stop_ids=(908,), norm_eps=1e-5)
    index = json.loads((checkpoint / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(index.values())) > 1
    with safe_open(checkpoint / index["model.transformer.blocks.1.q_proj.weight"], "pt") as file:
        weight = file.get_tensor("model.transformer.blocks.1.q_proj.weight")
    assert weight.dtype == torch.bfloat16 and weight.float().std().item() == pytest.approx(32**-0.5, rel=0.1)
    model = fef.load(checkpoint, device="cpu")
    assert model.tokenizer.encode("ab c") == model.tokenizer.encode("ab") + model.tokenizer.encode(" c")
    assert model.generate([{"role": "user", "content": "a"}], max_new_tokens=4).certificate.kind


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_the_whole_way_runs_at_toy_size(tmp_path: Path, gpus: int) -> None:
    script = Path(__file__).parents[1] / "rehearsal.sh"
    asked = {"SHAPE": "tiny", "DEVICE": "cpu", "GPUS": gpus, "RESUMED": 3 - gpus, "STEPS": 4, "OUT": tmp_path}
    given = os.environ | {name: str(value) for name, value in asked.items()} | {"PY": sys.executable}
    given |= {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run(["bash", script], env=given, stdout=subprocess.PIPE, text=True, check=True)
    said = [json.loads(line) for line in ran.stdout.splitlines()]
    write, _, train, _, _, resumed, _, last, decoded, _ = said
    assert write["gigabytes"] > 0 and not train["resumed"] and resumed["resumed"] and last["step"] == 4
    assert "packed" in decoded["law"] and decoded["same_text_in_the_loop"] and decoded["tokens"] > 0
    parts = {part["part"]: part["host_gib"] for part in said if "part" in part}
    assert list(parts) == ["write", f"train on {gpus}", f"train on {3 - gpus}", "decode"]
    assert all(0 < gib < 4 for gib in parts.values())


def test_a_disk_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OptionError, match=r"take 0\.\d+ GB, and .* free"):
        write_released_layout(tmp_path / "checkpoint", TINY, CPU)
    assert not (tmp_path / "checkpoint").exists()


def test_an_adapter_is_compared_with_its_base(checkpoint: Path, tmp_path: Path) -> None:
    rows = orders(12, 0)
    options = TrainOptions(
        steps=3, canvas_length=160, packed_count=160, infill_share=0.0, optimizer="adamw", factor_lr=0.02, warmup=1
    )
    train_adapter(str(checkpoint), rows[:8], tmp_path / "adapter", options, 4, 1024)
    before, after = (
        fef.load(checkpoint, device="cpu", dtype=torch.float32, adapter=a) for a in (None, tmp_path / "adapter")
    )
    found = compare(before, after, rows[8:10], 1, 160)
    assert found.nats_after < found.nats_before
    assert found.same_texts == found.texts == 1 and found.log_p_difference < 1e-3
    twins = {
        "nats_after": found.nats_before,
        "same_texts": 0,
        "tokens_per_pass_after": 0.9 * found.tokens_per_pass_before,
    }
    kept = replace(found, tokens_per_pass_after=0.96 * found.tokens_per_pass_before)
    assert kept.holds and not any(replace(kept, **{name: value}).holds for name, value in twins.items())


def test_orders_differ_and_are_those_of_their_seed() -> None:
    rows = orders(300, 1)
    assert len({row["prompt"] for row in rows}) == 300
    assert rows == orders(300, 1) != orders(300, 2)
