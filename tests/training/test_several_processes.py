"""One run on several processes is the run of one: the same losses, whether parameters are whole or in shards, and it may go
on on another number of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fef.errors import CheckpointError, InputError, OptionError
from fef.models import export
from fef.models.checkpoint import load_checkpoint
from fef.training.processes import ALONE, Processes
from fef.training.run import DataOptions, NetworkOptions, run
from fef.training.trainer import TrainOptions
from tests.several import run_on

SMALL = NetworkOptions(vocab_size=290, dim=32, layers=2, heads=2, mlp_dim=64, max_length=64)
OPTIONS = TrainOptions(
    steps=50,
    batch_size=8,
    canvas_length=8,
    packed_count=6,
    warmup=2,
    log_every=1,
    save_every=1000,
    group_sizes=(2, 4),
    optimizer="adamw",
    adam_lr=1e-3,  # Adam's first steps follow signs, and a faster run would multiply roundings
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataOptions:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    pairs = [(f"say {a} {b}", f"{b} {a}") for a in "abcdef" for b in "ghijkl"]
    path.write_text("".join(json.dumps({"prompt": p, "response": r}) + "\n" for p, r in pairs))
    return DataOptions(jsonl=path)


def trained(
    processes: Processes, out: Path, data: DataOptions, options: TrainOptions, **more: Any
) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    run(out, data, SMALL, options, progress=lambda _, row: rows.append(row), processes=processes, **more)
    return rows


def losses(rows: list[dict[str, float]], name: str = "loss") -> torch.Tensor:
    return torch.tensor([row[name] for row in rows], dtype=torch.float64)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, data: DataOptions) -> tuple[Path, list[dict[str, float]]]:
    out = tmp_path_factory.mktemp("alone") / "m"
    return out, trained(ALONE, out, data, OPTIONS)


@pytest.mark.parametrize("shard", [True, False])
def test_fifty_steps_of_two_processes_have_the_losses_of_one(
    tmp_path: Path, data: DataOptions, alone: tuple[Path, Any], shard: bool
) -> None:
    out, rows = alone
    both = run_on(2, trained, tmp_path / "m", data, replace(OPTIONS, shard=shard))
    for found in both:
        for name in ("loss", "context", "target", "draft"):
            torch.testing.assert_close(losses(found, name), losses(rows, name), rtol=1e-5, atol=0)
    wanted, written = load_checkpoint(out)[0], load_checkpoint(tmp_path / "m")[0]
    for (name, a), b in zip(wanted.named_parameters(), written.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.01, atol=1e-3, msg=name)  # written in bfloat16


@pytest.mark.parametrize("shard", [True, False])
def test_two_processes_make_a_network_certain_as_one_does(
    tmp_path: Path, data: DataOptions, alone: tuple[Path, Any], shard: bool
) -> None:
    """Rows have other numbers of counted positions, and of right ones, so a mean of the processes' means would be another."""
    options = replace(OPTIONS, steps=12, shard=shard)

    def certain(processes: Processes, out: Path) -> list[dict[str, float]]:
        return trained(processes, out, data, options, init=alone[0], certain=True)

    wanted = certain(ALONE, tmp_path / "one")
    for found in run_on(2, certain, tmp_path / "two"):
        for name in ("loss", "nll", "entropy", "right", "norm"):
            torch.testing.assert_close(losses(found, name), losses(wanted, name), rtol=1e-4, atol=1e-6)


def test_other_batches_have_other_losses(tmp_path: Path, data: DataOptions, alone: tuple[Path, Any]) -> None:
    """The twin that must fail: what the processes see depends on the seed."""
    found, _ = run_on(2, trained, tmp_path / "m", data, replace(OPTIONS, seed=1, steps=3))
    assert (losses(found) - losses(alone[1])[:3]).abs().max() > 1e-3


@pytest.mark.parametrize("shard", [True, False])
def test_a_run_goes_on_on_two_processes_and_again_on_one(
    tmp_path: Path, data: DataOptions, alone: tuple[Path, Any], shard: bool
) -> None:
    options, out = replace(OPTIONS, shard=shard), tmp_path / "m"

    def three_steps(processes: Processes) -> None:
        answers = iter([False, False, False, True])
        run(out, data, SMALL, options, stop=lambda: next(answers), processes=processes)

    three_steps(ALONE)
    run_on(2, three_steps)
    assert json.loads((out / "resume" / "run.json").read_text())["step"] == 6
    trained(ALONE, out, data, options)
    rows = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    torch.testing.assert_close(losses(rows), losses(alone[1]), rtol=1e-5, atol=2e-5)


def test_what_cannot_go_on_is_said_by_every_process(tmp_path: Path, data: DataOptions) -> None:
    with_three = run_on(3, trained, tmp_path / "m", data, OPTIONS)
    assert all(isinstance(e, OptionError) and "batch-size" in str(e) for e in with_three)
    trained(ALONE, tmp_path / "m", data, replace(OPTIONS, steps=1))
    for count, options, words in ((2, replace(OPTIONS, seed=7), "another run: its seed is 0"),):
        found = run_on(count, trained, tmp_path / "m", data, options)
        assert all(isinstance(e, CheckpointError) and words in str(e) for e in found)


def test_processes_that_read_other_examples_are_refused(tmp_path: Path, data: DataOptions) -> None:
    assert data.jsonl is not None
    shorter = tmp_path / "shorter.jsonl"
    shorter.write_text("".join(f"{line}\n" for line in data.jsonl.read_text().splitlines()[1:]))

    def work(processes: Processes) -> None:
        trained(processes, tmp_path / "m", data if processes.leads else DataOptions(jsonl=shorter), OPTIONS)

    found = run_on(2, work)
    assert all(isinstance(e, InputError) and "Process 1 of 2 has other examples" in str(e) for e in found)
    assert not (tmp_path / "m").exists()


def test_processes_that_start_from_other_weights_are_refused(
    tmp_path: Path, data: DataOptions, alone: tuple[Path, Any]
) -> None:
    trained(ALONE, tmp_path / "other", data, replace(OPTIONS, steps=1))

    def work(processes: Processes) -> None:
        trained(processes, tmp_path / "m", data, OPTIONS, init=alone[0] if processes.leads else tmp_path / "other")

    found = run_on(2, work)
    assert all(isinstance(e, InputError) and "Process 1 of 2 has other base weights" in str(e) for e in found)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("fails", ["weights", "state"])
def test_a_full_disk_ends_all_and_keeps_what_was_there(
    tmp_path: Path, data: DataOptions, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    out = tmp_path / "m"
    trained(ALONE, out, data, replace(OPTIONS, steps=1))
    before = (out / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if fails == "weights":
        monkeypatch.setattr(export, "save_file", full)
    else:
        monkeypatch.setattr("torch.distributed.checkpoint.filesystem._write_item", full)
    found = run_on(2, trained, out, data, replace(OPTIONS, steps=2))
    assert [isinstance(e, CheckpointError | OSError) for e in found] == [True, True]
    assert "No space left" in str(found[0]) and isinstance(found[0], CheckpointError)
    assert (out / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("error", [OptionError("only here"), ValueError("only here")])
def test_one_process_that_fails_ends_all(error: Exception) -> None:
    """Also where nobody foresaw it."""

    def work(processes: Processes) -> None:
        with processes.together():
            if processes.rank == 1:
                raise error

    assert [(type(found), str(found)) for found in run_on(2, work)] == [(type(error), "only here")] * 2


def test_one_process_that_is_asked_to_stop_stops_all(tmp_path: Path, data: DataOptions) -> None:
    def work(processes: Processes) -> int:
        asked: list[int] = []

        def stop() -> bool:
            asked.append(1)
            return processes.rank == 1 and len(asked) == 4

        run(tmp_path / "m", data, SMALL, OPTIONS, stop=stop, processes=processes)
        return len(asked)

    assert run_on(2, work) == [4, 4]
    assert json.loads((tmp_path / "m" / "resume" / "run.json").read_text())["step"] == 3
