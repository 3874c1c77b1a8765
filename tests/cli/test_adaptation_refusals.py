"""What adaptation, deltas and `smol` are given and cannot use: one sentence, exit code 2, and nothing half written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fef.models import smol_base
from tests.tiny_causal import write_causal, write_conversations

SMALL = ["--batch-tokens", 384, "--canvas-length", 8, "--max-prompt", 48, "--steps", 1, "--device", "cpu"]
GOOD = {"messages": [{"role": "user", "content": "say a g"}, {"role": "assistant", "content": "g a"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("refusals")
    write_causal(path / "base")
    write_causal(path / "other", seed=1)
    write_conversations(path / "x.jsonl")
    return path


def refused(result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert said.count("fef: error:") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in said


def answer(text: str) -> dict[str, object]:
    return {"messages": [GOOD["messages"][0], {"role": "assistant", "content": text}]}


LINES = {
    "a broken line": (json.dumps(GOOD) + "\n{'messages': []}\n", "line 2: not JSON"),
    "a line that is cut off": (json.dumps(GOOD) + "\n" + json.dumps(GOOD)[:-9], "line 2: not JSON"),
    "an empty response": (json.dumps(GOOD) + "\n" + json.dumps(answer("")), "line 2: an empty response"),
    "a response of spaces": (json.dumps(answer(" \n ")), "line 1: an empty response"),
    "a long prompt": (
        json.dumps({"prompt": "say " + "a " * 80, "response": "b"}),
        "line 1: the prompt has",
    ),
    "an answer beyond the canvas": (json.dumps(answer("a b c d e f g h i")), "line 1: the response has"),
}


@pytest.mark.parametrize(("text", "words"), LINES.values(), ids=LINES.keys())
def test_examples_that_cannot_be_trained_on_are_named_by_their_line(fef_cli, folder, tmp_path, text, words):
    (tmp_path / "x.jsonl").write_text(text)
    out = tmp_path / "m"
    refused(fef_cli("adapt", "--from", folder / "base", "--data", tmp_path / "x.jsonl", "--out", out, *SMALL), words)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


FILES = {
    "no GGUF": (b"PK\x03\x04" + bytes(60), "is not a GGUF file"),
    "a truncated GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(3), "truncated or damaged"),
    "another version": (b"GGUF\x09\x00\x00\x00" + bytes(60), "version 9 of GGUF"),
}


@pytest.mark.parametrize(("data", "words"), FILES.values(), ids=FILES.keys())
def test_files_that_hold_no_causal_model_are_refused(fef_cli, folder, tmp_path, data, words):
    (tmp_path / "m.gguf").write_bytes(data)
    made = ["adapt", "--from", tmp_path / "m.gguf", "--data", folder / "x.jsonl", "--out", tmp_path / "m", *SMALL]
    refused(fef_cli(*made), words)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def adapted(fef_cli, folder: Path, out: Path) -> Path:
    made = fef_cli("adapt", "--from", folder / "base", "--data", folder / "x.jsonl", "--out", out, "--lora", 2, *SMALL)
    assert made.exit_code == 0, made.output
    return out


def test_a_delta_is_made_of_its_own_base_and_whole(fef_cli, folder, tmp_path, monkeypatch):
    model, out = adapted(fef_cli, folder, tmp_path / "m"), tmp_path / "d" / "delta.safetensors"
    out.parent.mkdir()
    made = ["delta", "--model", model, "--out", out, "--device", "cpu", "--base"]
    refused(fef_cli(*made, folder / "other"), "sha256")
    assert not any(out.parent.iterdir())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        refused(fef_cli(*made, folder / "base"), "No space left on device")
    assert not any(out.parent.iterdir())


@pytest.mark.parametrize("there", ["nothing", "another file", "half of it"])
def test_smol_without_its_base_says_how_to_get_it(fef_cli, tmp_path, monkeypatch, there):
    monkeypatch.setenv("FEF_CACHE", str(tmp_path))
    monkeypatch.setattr(smol_base, "find_spec", lambda _: None)
    if there != "nothing":
        content = b"GGUF" + bytes(1000) if there == "half of it" else b"another"
        (tmp_path / smol_base.BASE_FILE).write_bytes(content)
    commands = (
        ["generate", "2 + 3 = ", "--model", "smol"],
        ["chat", "--model", "smol"],
        ["info", "smol"],
        ["train", "--init", "smol", "--data", "x.jsonl", "--out", tmp_path / "m"],
    )
    for command in commands:
        refused(fef_cli(*command), "make smol")
    assert len(list(tmp_path.iterdir())) == (there != "nothing")
