"""`fef train` on released checkpoints, `fef export`, and both under torchrun."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import fef

DATA = Path(__file__).parents[1] / "golden" / "data"
LLADA = DATA / "llada" / "checkpoint"
CANVAS = ["--canvas-length", 24, "--max-prompt", 128, "--log-every", 1, "--device", "cpu", "--warmup", 1]
SMALL = [*CANVAS, "--batch-tokens", 512, "--row-tokens", 256]
MASK = {"dream": ["--mask-id", 487], "sdar": ["--mask-id", 486]}


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    row = {"messages": [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "b a"}]}
    path.write_text((json.dumps(row) + "\n") * 8)
    return path


def test_an_adapter_is_trained_goes_on_and_is_merged(fef_cli, tmp_path, chats):
    out, merged = tmp_path / "tuned", tmp_path / "merged"
    command = ["train", "--init", LLADA, "--data", chats, "--lora", 2, "--out", out, *SMALL]
    first = fef_cli(*command, "--steps", 2)
    assert first.exit_code == 0, first.output
    second = fef_cli(*command, "--steps", 3, "--json")
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout)["resumed"]
    exported = fef_cli("export", "--model", LLADA, "--adapter", out, "--out", merged)
    assert exported.exit_code == 0, exported.output
    network = fef.load(LLADA, device="cpu", adapter=out, dtype=torch.float32).network
    ids = torch.arange(12)[None]
    whole = fef.load(merged, device="cpu", dtype=torch.float32).network
    torch.testing.assert_close(whole(ids), network(ids), rtol=0, atol=0.3)  # written in bfloat16
    before, after = load_file(LLADA / "model.safetensors"), load_file(merged / "model.safetensors")
    assert before.keys() == after.keys()
    assert fef_cli("export", "--model", LLADA, "--out", merged).exit_code == 2
    other = fef_cli(*command, "--steps", 4, "--batch-tokens", 1024)
    assert other.exit_code == 2
    assert "of another run: its batch_tokens is 512, and here it is 1024" in other.stderr


@pytest.mark.parametrize("family", ["llada", "dream", "sdar"])
def test_a_release_learns_to_be_certain_in_its_own_template(fef_cli, tmp_path, chats, family):
    command = [
        "train",
        "--objective",
        "dparallel",
        "--init",
        DATA / family / "checkpoint",
        "--data",
        chats,
        "--lora",
        2,
    ]
    result = fef_cli(
        *command, "--out", tmp_path / "m", *CANVAS, *MASK.get(family, []), "--batch-size", 4, "--steps", 4, "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["losses"].keys() >= {"nll", "entropy", "right"}
    rows = [json.loads(line) for line in (tmp_path / "m" / "losses.jsonl").read_text().splitlines()]
    assert rows[-1]["nll"] < rows[0]["nll"]


BAD = {
    "no data": (["--init", LLADA], "needs --data"),
    "tasks": (["--init", LLADA, "--tasks", "joint"], "needs --data"),
    "lora alone": (["--lora", 2, "--tasks", "joint"], "--init MODEL"),
    "target": (["--init", LLADA, "--data", "CHATS", "--lora", 2, "--lora-targets", "dwn"], "Did you mean 'down'"),
    "factors of none": (["--init", LLADA, "--data", "CHATS", "--lora-lr", 1e-3], "fef train reads without --lora"),
    "rows": (["--init", LLADA, "--data", "CHATS", "--row-tokens", 200], "--row-tokens must be a multiple of 128"),
    "packed": (["--init", DATA / "dream" / "checkpoint", "--data", "CHATS", "--packed"], "leave --packed out"),
    "report": (["--init", LLADA, "--data", "CHATS", "--report-to", "wandb"], "pip install wandb"),
    "long": (["--init", LLADA, "--data", "CHATS", "--max-prompt", 2], "raise --max-prompt"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(fef_cli, tmp_path, chats, arguments, words):
    given = [chats if value == "CHATS" else value for value in arguments]
    result = fef_cli("train", "--out", tmp_path / "m", *SMALL, *given)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == [chats.name]


@pytest.mark.parametrize("mode", [[], ["--objective", "ssmd"], ["--objective", "draft-head"]])
@pytest.mark.parametrize("option", [["--held-out", "x.jsonl"], ["--no-packed"], ["--batch-tokens", "65536"]])
def test_options_of_tuning_are_refused_where_nothing_is_tuned(fef_cli, tmp_path, chats, mode, option):
    result = fef_cli("train", "--init", "demo", "--data", chats, "--out", tmp_path / "m", *mode, *option)
    assert result.exit_code == 2
    name = {"--no-packed": "--packed"}.get(option[0], option[0])
    assert f"{name} is for fine-tuning" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [chats.name]


def test_conversations_without_answers_are_refused(fef_cli, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    result = fef_cli("train", "--init", LLADA, "--data", path, "--out", tmp_path / "m", *SMALL)
    assert result.exit_code == 2
    assert "no answer of the assistant" in result.stderr


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")
def test_losses_go_to_tensorboard(fef_cli, tmp_path, chats):
    result = fef_cli(
        "train", "--init", LLADA, "--data", chats, "--out", tmp_path / "m", *SMALL, "--steps", 2, "--report-to",
        "tensorboard",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "m.tensorboard").glob("events*"))


# --- torchrun ---


def torchrun(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fef"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(fef.__file__).parents[1])},
    )


@pytest.mark.slow
def test_the_same_command_runs_under_torchrun(tmp_path, chats):
    command = ["train", "--init", LLADA, "--data", chats, "--lora", 2, "--out", tmp_path / "m", *SMALL, "--steps", 3]
    output, errors = (running := torchrun(*command)).communicate(timeout=120)
    assert running.returncode == 0, errors
    assert output.count("Wrote") == 1
    assert errors.count("8 examples") == 1
    fef.load(LLADA, device="cpu", adapter=tmp_path / "m")


@pytest.mark.slow
def test_bad_input_is_one_sentence_and_ends_every_process(tmp_path):
    command = ["train", "--init", LLADA, "--data", tmp_path / "none.jsonl", "--out", tmp_path / "m", *SMALL]
    _, errors = (running := torchrun(*command)).communicate(timeout=120)
    assert running.returncode != 0
    assert errors.count("fef: error:") == 1
    assert "Cannot read" in errors


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_and_says_how_to_go_on(tmp_path, chats, which):
    out = tmp_path / "m"
    command = ["train", "--init", LLADA, "--data", chats, "--lora", 2, "--out", out, *SMALL, "--steps", 100_000]
    running = torchrun(*command, "--save-every", 5)
    limit = time.monotonic() + 100
    while not (out / "resume").is_dir() and time.monotonic() < limit:
        time.sleep(0.1)
    running.send_signal(which)
    _, errors = running.communicate(timeout=60)
    assert running.returncode != 0
    assert errors.count("the same command resumes it") == 1
    assert fef.load(LLADA, device="cpu", adapter=out)
