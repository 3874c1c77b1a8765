"""What cannot be trained by several processes is said in one sentence, the same by all, and nobody waits for anybody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import fef.models.adapter
from fef.errors import CheckpointError, FefError, InputError, OptionError
from fef.training.processes import ALONE, Processes, joined
from fef.training.trainer import TrainOptions
from fef.training.tune import TuneOptions, tune
from tests.several import run_on

LLADA, DREAM = (Path(__file__).parents[1] / "golden" / "data" / name / "checkpoint" for name in ("llada", "dream"))
OPTIONS = TrainOptions(
    steps=2, canvas_length=24, packed_count=24, infill_share=0.0, optimizer="adamw", factor_lr=1e-3, warmup=1
)
TUNING = TuneOptions(lora_rank=2, batch_tokens=512, row_tokens=256, max_prompt=100)
GOOD = [{"prompt": f"{a} {b}", "response": f"{b} {a}"} for a in "abc" for b in "xyz"]


@dataclass(frozen=True)
class Case:
    """A run that is given something wrong, perhaps to one process only: of each rank the base and the data."""

    error: type[FefError]
    words: str
    base: Callable[[Path, int], Path] = lambda _home, _rank: LLADA
    data: Callable[[Path, int], Path] = lambda home, _rank: home / "good.jsonl"
    tuning: TuneOptions = TUNING
    shard: bool = True
    out: str = "new"


def written(name: str, rows: list[dict[str, Any]], only: int | None = None) -> Callable[[Path, int], Path]:
    """A file of these rows, of one process only or of all."""

    def path(home: Path, rank: int) -> Path:
        if only not in (None, rank):
            return home / "good.jsonl"
        file = home / f"{name}-{rank}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return path


def changed(name: str, change: Callable[[Path], None], only: int | None = None) -> Callable[[Path, int], Path]:
    """A copy of the checkpoint with a change, of one process only or of all."""

    def path(home: Path, rank: int) -> Path:
        if only not in (None, rank):
            return LLADA
        copy = home / f"{name}-{rank}"
        shutil.copytree(LLADA, copy)
        change(copy)
        return copy

    return path


def unmarked(path: Path) -> None:
    settings = json.loads((path / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    (path / "tokenizer_config.json").write_text(json.dumps(settings))


def stored(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    key = "model.transformer.blocks.1.q_proj.weight"

    def rewrite(path: Path) -> None:
        tensors = load_file(path / "model.safetensors")
        save_file({**tensors, key: change(tensors[key])}, path / "model.safetensors", {"format": "pt"})

    return rewrite


CASES = {
    "three rows for two": Case(OptionError, "2 processes cannot share", tuning=replace(TUNING, batch_tokens=768)),
    "a short row": Case(
        OptionError,
        "give --row-tokens 256",
        data=written("long", [{"prompt": "a b " * 12, "response": "b"}]),
        tuning=replace(TUNING, row_tokens=128, packed=True),
    ),
    "fewer examples": Case(InputError, "other examples than process 0", data=written("few", GOOD[1:], 1)),
    "other examples": Case(InputError, "other examples than process 0", data=written("b", GOOD[:-1] + GOOD[:1], 1)),
    "no file": Case(InputError, "Cannot read", data=lambda home, rank: home / ("no" if rank else "good.jsonl")),
    "no response": Case(InputError, "line 1: expected", data=written("mute", [{"prompt": "a"}])),
    "no answer": Case(
        InputError, "no answer of the assistant", data=written("q", [{"messages": [{"role": "user", "content": "a"}]}])
    ),
    "an empty answer": Case(InputError, "teaches nothing", data=written("e", [{"prompt": "a", "response": " "}], 1)),
    "no mark": Case(InputError, "does not mark where an answer begins", base=changed("unmarked", unmarked)),
    "integers": Case(CheckpointError, "is I8", base=changed("i8", stored(lambda tensor: tensor.to(torch.int8)))),
    "integers of one": Case(
        InputError, "other base weights", base=changed("i32", stored(lambda t: t.to(torch.int32)), 1)
    ),
    "other numbers": Case(InputError, "other base weights", base=changed("one", stored(lambda t: t + 1), 1)),
    "other numbers, whole": Case(
        InputError, "other base weights", base=changed("whole", stored(lambda t: t + 1), 1), shard=False
    ),
    "no weights": Case(
        CheckpointError, "", base=changed("none", lambda path: (path / "model.safetensors").unlink(), 1)
    ),
    "another base": Case(CheckpointError, "another run: its base", base=lambda _home, _rank: DREAM, out="old"),
    "another rank": Case(CheckpointError, "its lora_rank is 2", tuning=replace(TUNING, lora_rank=3), out="old"),
    "all weights": Case(CheckpointError, "its lora_rank is 2", tuning=replace(TUNING, lora_rank=0), out="old"),
    "more data": Case(CheckpointError, "its examples is ", data=written("more", GOOD + GOOD[:2]), out="old"),
    "other data": Case(CheckpointError, "its examples is ", data=written("turned", GOOD[::-1]), out="old"),
    "another law": Case(
        CheckpointError,
        "its packed is False",
        tuning=replace(TUNING, row_tokens=512, batch_tokens=1024, packed=True),
        out="old",
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with good examples and a run that may go on."""
    path = tmp_path_factory.mktemp("runs")
    written("good", GOOD)(path, 0).rename(path / "good.jsonl")
    tune(str(LLADA), path / "good.jsonl", path / "old", TUNING, replace(OPTIONS, steps=1), ALONE)
    return path


@pytest.fixture(scope="module")
def said(home: Path) -> list[dict[str, Exception | None]]:
    """Of each process, what it raised in each case, all in one group of processes: none waits after a case."""

    def work(processes: Processes) -> dict[str, Exception | None]:
        return {name: raised(case, home, processes) for name, case in CASES.items()}

    found: list[dict[str, Exception | None]] = run_on(2, work)
    return found


def raised(case: Case, home: Path, processes: Processes) -> Exception | None:
    base, data = case.base(home, processes.rank), case.data(home, processes.rank)
    options = replace(OPTIONS, shard=case.shard)
    try:
        tune(str(base), data, home / case.out, case.tuning, options, processes)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_every_process_says_the_same_sentence(
    said: list[dict[str, Exception | None]], home: Path, name: str, case: Case
) -> None:
    first, second = (found[name] for found in said)
    assert isinstance(first, case.error) and type(second) is type(first)
    assert str(second) == str(first) and case.words in str(first) and "\n" not in str(first)
    assert not (home / "new").exists()
    assert json.loads((home / "old" / "resume" / "run.json").read_text())["step"] == 1


def test_a_disk_without_room_for_an_adapter_ends_all_and_keeps_what_was_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (home / "old" / "adapter_model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fef.models.adapter, "save_file", full)
    case = Case(CheckpointError, "", out="old")
    found = run_on(2, lambda processes: raised(case, home, processes))
    assert all(isinstance(error, CheckpointError | OSError) and "No space left" in str(error) for error in found)
    assert (home / "old" / "adapter_model.safetensors").read_bytes() == before


def test_a_checkpoint_of_mixed_dtypes_is_trained_and_written_in_them(tmp_path: Path, home: Path) -> None:
    """Tensors of a release may have different ones; each keeps its own."""
    mixed = changed("mixed", stored(lambda tensor: tensor.float()))(tmp_path, 0)
    tuning = replace(TUNING, lora_rank=0)
    found = run_on(2, lambda p: tune(str(mixed), home / "good.jsonl", tmp_path / "m", tuning, OPTIONS, p) and None)
    assert found == [None, None]
    before, after = (load_file(path / "model.safetensors") for path in (mixed, tmp_path / "m"))
    assert {key: tensor.dtype for key, tensor in after.items()} == {key: tensor.dtype for key, tensor in before.items()}
    assert len({tensor.dtype for tensor in after.values()}) == 2


@pytest.mark.parametrize(
    ("devices", "words"), [(0, "--device cpu"), (1, "--nproc-per-node 1"), (3, "--nproc-per-node 3")]
)
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, devices: int, words: str) -> None:
    for name, value in {"RANK": 0, "WORLD_SIZE": 4, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with (
        pytest.raises(OptionError, match=f"started 4 processes on a machine with {devices} GPUs; give .*{words}"),
        joined("cuda"),
    ):
        pass
