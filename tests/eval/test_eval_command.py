"""The commands `fef eval` and `fef lm-eval` from the outside."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fef.cli.app import app
from fef.eval.presets import PRESETS
from fef.eval.tasks import TASKS
from fef.tasks.sandbox import strongest_isolation


def fef(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="fef")


@pytest.fixture(autouse=True)
def no_data_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEF_DATA", raising=False)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_end_to_end(tiny_path: Path, data: Path, task: str) -> None:
    arguments = ["--max-new-tokens", 8, "--long-prompts", "cut", "--allow-weak-sandbox", "--json"]
    result = fef("eval", task, "--model", tiny_path, "--data", data, *arguments)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["summary"]["problems"] == {"gsm8k": 7}.get(task, 2)
    assert report["identity"]["sandbox"] == (strongest_isolation() if TASKS[task].runs_code else None)
    assert report["certificate"]["kind"] == "greedy"


def test_a_value_that_cannot_be_used_is_refused_before_anything_is_loaded(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "sanitized.jsonl"
    good = {"prompt": "Two.", "code": "", "task_id": 11, "test_list": ["assert two()"], "test_imports": ["import math"]}
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {"test_imports": {"math": 1}}) + "\n")
    names = ["--field", "text=prompt", "--field", "test_setup_code=test_imports", "--allow-weak-sandbox"]
    result = fef("eval", "mbpp", "--model", tmp_path / "nothing", "--data", data, "--file", path, *names)
    assert result.exit_code == 2
    assert "sanitized.jsonl:2" in result.stderr
    assert "test_imports must be" in " ".join(result.stderr.split())


def test_a_preset_prints_the_published_figure_and_what_differs(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["eval", "llada-8b-instruct/gsm8k", "--model", tiny_path, "--data", data, "--no-chat", "--shots", 1]
    arguments += ["--method", "fef", "--max-new-tokens", 8, "--limit", 3, "--out", tmp_path / "out"]
    result = fef(*arguments)
    assert result.exit_code == 0, result.stderr
    for words in (
        "78.6 / 78.9",
        "0.0 (0.0 to 56.1)",
        "model tiny, not GSAI-ML/LLaDA-8B-Instruct",
        "3 problems, not 1319",
    ):
        assert words in result.stdout
    assert "Published (OpenCompass, LLaDA, arXiv 2502.09992): 78.9, outside the interval." in result.stdout
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 3
    again = fef(*arguments)
    assert again.exit_code == 0
    other = fef(*arguments, "--seed", 1)
    assert other.exit_code == 2
    assert "seed 0, now 1" in other.stderr
    rounded = fef(*arguments, "--weights", "int8")
    assert rounded.exit_code == 2
    assert "weight_format None, now 'int8'" in rounded.stderr


def test_a_run_goes_on_with_the_same_weights_arithmetic_and_examples_only(
    tiny_path: Path, data: Path, tmp_path: Path
) -> None:
    model, tests = tmp_path / "model", data / "gsm8k_test.jsonl"
    shutil.copytree(tiny_path, model)
    rows = [json.loads(line) | {"other": f"{i}?"} for i, line in enumerate(tests.read_text().splitlines())]
    tests.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["eval", "gsm8k", "--model", model, "--data", data, "--max-new-tokens", 8, "--limit", 2, "--shots", 1]
    arguments += ["--out", tmp_path / "out", "--long-prompts", "cut", "--set", "window=4"]
    assert fef(*arguments).exit_code == 0
    assert fef(*arguments).exit_code == 0, "the same command goes on"

    def refused(*more: object) -> str:
        result = fef(*arguments, *more)
        assert result.exit_code == 2
        return " ".join(result.stderr.split())

    assert "dtype 'float32', now 'bfloat16'" in refused("--dtype", "bfloat16")
    assert "have read '" in refused("--field", "question=other")
    assert "have anchors None, now 2" in refused("--set", "anchors=2")
    shots = data / "gsm8k_train.jsonl"
    kept = shots.read_text()
    shots.write_text(kept.replace("plus", "and"))
    assert "have read '" in refused()
    shots.write_text(kept)
    weights = load_file(model / "model.safetensors")
    weights["embed.weight"][160] += 1
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    assert "have weights '" in refused()


def test_quantized_weights_are_named_beside_the_published_figure(tiny_path: Path, data: Path) -> None:
    arguments = ["eval", "llada-8b-instruct/gsm8k", "--model", tiny_path, "--data", data, "--no-chat", "--shots", 1]
    arguments += ["--method", "fef", "--max-new-tokens", 8, "--limit", 2, "--weights", "fp8"]
    result = fef(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "fp8 weights, not those of the checkpoint" in " ".join(result.stdout.split())
    report = json.loads(fef(*arguments, "--json").stdout)
    assert report["identity"]["weight_format"] == "fp8"
    assert "with fp8 weights" in report["certificate"]["law"]


def test_a_file_of_ones_own_with_other_fields(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"problem": "1 + 1?", "solution": "#### 2"}\n')
    arguments = ["eval", "gsm8k", "--model", tiny_path, "--file", path, "--max-new-tokens", 8, "--json"]
    result = fef(*arguments, "--field", "question=problem", "--field", "answer=solution")
    assert result.exit_code == 0, result.stderr
    missing = fef(*arguments)
    assert missing.exit_code == 2
    assert "own.jsonl:1: no field question, answer" in missing.stderr


def test_the_list_has_every_preset_and_task() -> None:
    result = fef("eval", "--list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in [*PRESETS, *TASKS])
    listed = json.loads(fef("eval", "--list", "--json").stdout)
    assert [preset["name"] for preset in listed["presets"]] == list(PRESETS)


BAD = {
    "nothing": ([], "Give a preset or a task"),
    "name": (["gsm8"], "Did you mean 'gsm8k'"),
    "folder": (["gsm8k", "--data", "nowhere"], "nowhere is no folder"),
    "shots": (["gsm8k", "--shots", "9"], "has 2 worked examples"),
    "option": (["gsm8k", "--set", "windw=3"], "Did you mean 'window'"),
    "method": (["gsm8k", "--method", "feff"], "Did you mean 'fef'"),
    "field": (["gsm8k", "--field", "question"], "NAME=FIELD"),
    "length": (["gsm8k", "--max-new-tokens", "250"], "7 of 7 prompts leave no room for 250 new tokens"),
    "chat": (["gsm8k", "--chat", "--max-new-tokens", "8"], "no chat template"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_fails_before_any_decoding(tiny_path: Path, data: Path, monkeypatch, arguments, words) -> None:
    def never(*_, **__):
        raise AssertionError("the work has started")

    monkeypatch.setattr("fef.generation.Model.generate", never)
    result = fef("eval", "--model", tiny_path, "--data", data, *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_a_broken_line_is_named(tiny_path: Path, data: Path) -> None:
    path = data / "gsm8k_test.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    result = fef("eval", "gsm8k", "--model", tiny_path, "--data", data)
    assert result.exit_code == 2
    assert "gsm8k_test.jsonl:8: not JSON" in result.stderr


def test_lm_eval_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.delitem(sys.modules, "fef.eval.harness", raising=False)
    for name in [name for name in sys.modules if name.startswith("lm_eval.")]:
        monkeypatch.delitem(sys.modules, name)
    result = fef("lm-eval", "--tasks", "gsm8k")
    assert result.exit_code == 2
    assert "pip install 'fef[eval]'" in result.stderr


def test_lm_eval_passes_everything_else_on_and_reads_local_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = pytest.importorskip("lm_eval._cli", reason="lm-eval is not installed (extra eval)")
    seen = {}

    def execute(_, parsed) -> None:
        folder = Path(parsed.include_path)
        seen.update(vars(parsed), files=sorted(p.name for p in folder.iterdir()))
        seen["gsm8k"] = json.loads((folder / "gsm8k.yaml").read_text())

    monkeypatch.setattr(cli.HarnessCLI, "execute", execute)
    monkeypatch.setattr(sys, "argv", ["fef"])
    result = fef(
        "lm-eval", "--data", data, "--model", "fef", "--model_args", "pretrained=demo,window=8", "--tasks", "gsm8k"
    )
    assert result.exit_code == 0, result.stderr
    assert (seen["model"], seen["model_args"]) == ("fef", {"pretrained": "demo", "window": 8})
    assert (seen["device"], seen["files"]) == ("cpu", ["gsm8k.yaml", "gsm8k_cot.yaml"])
    assert seen["gsm8k"]["dataset_kwargs"]["data_files"]["test"] == str((data / "gsm8k_test.jsonl").resolve())
    assert Path(seen["gsm8k"]["include"]).is_file()
    assert "gsm8k reads" in result.stderr
    assert fef("lm-eval", "--data", data, "--include_path", "x", "--tasks", "gsm8k").exit_code == 2
    empty = fef("lm-eval", "--data", data.parent, "--tasks", "gsm8k")
    assert "has none of the files" in empty.stderr
