"""Files of JSON lines and texts that people give: as editors on Windows write them, and with lines that are none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fef.errors import InputError
from fef.eval.datasets import read_examples, text
from fef.measure.journal import begin
from fef.readers import decode_text, read_file
from fef.serve.batch import Part
from fef.tasks.jsonl import read_jsonl
from fef.training.conversations import read_answers
from fef.training.data import read_pairs

PAIR = {"prompt": "a", "response": "b"}
PROBLEM = {"family": "joint", "task": "sum", **PAIR, "check": {}}

READERS: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "pairs": (read_pairs, PAIR),
    "conversations": (read_answers, PAIR),
    "examples": (lambda path: read_examples(path, {"prompt": text}), PAIR),
    "problems": (read_jsonl, PROBLEM),
}
WINDOWS = b"\xef\xbb\xbf"  # a mark that says UTF-8


def written(path: Path, lines: list[str], windows: bool = False) -> Path:
    end, mark = ("\r\n", WINDOWS) if windows else ("\n", b"")
    path.write_bytes(mark + "".join(line + end for line in lines).encode())
    return path


@pytest.mark.parametrize("name", READERS)
def test_files_from_windows_hold_what_others_hold(tmp_path: Path, name: str) -> None:
    read, row = READERS[name]
    lines = [json.dumps(row), json.dumps(row | {"prompt": "ä"})]
    found = read(written(tmp_path / "x.jsonl", lines, windows=True))
    assert found == read(written(tmp_path / "x.jsonl", lines))
    assert len(found) == 2


def test_so_do_requests_and_prompts(tmp_path: Path) -> None:
    file = written(tmp_path / "x.jsonl", [json.dumps(PAIR)], windows=True)
    assert [json.loads(line) for _, line in Part(file, tmp_path / "y").lines()] == [PAIR]
    assert decode_text(read_file(file), "x").startswith("{")
    assert decode_text("a\ufeffb".encode(), "x") == "a\ufeffb"


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "9" * 5000, '{"prompt":', "null", "[1]", '{"prompt": 1, "response": 2}']
)
@pytest.mark.parametrize("name", READERS)
def test_a_line_that_is_none_is_named(tmp_path: Path, name: str, line: str) -> None:
    read, row = READERS[name]
    with pytest.raises(InputError, match=r"x\.jsonl(, line |:)2"):
        read(written(tmp_path / "x.jsonl", [json.dumps(row), line]))


@pytest.mark.parametrize("name", ["pairs", "conversations"])
def test_an_empty_response_teaches_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="line 2: an empty response teaches nothing"):
        READERS[name][0](written(tmp_path / "x.jsonl", [json.dumps(PAIR), json.dumps(PAIR | {"response": " "})]))


def test_settings_of_a_run_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            begin(folder, {"seed": 1})
    assert list(folder.iterdir()) == []
    begin(folder, {"seed": 1})
    begin(folder, {"seed": 1})
    for damaged in ("", "[1]", "[" * 100_000):
        (folder / "settings.json").write_text(damaged)
        with pytest.raises(InputError, match="holds no result of `fef eval --out`"):
            begin(folder, {"seed": 1})
