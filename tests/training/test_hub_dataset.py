"""`--data owner/name`: rows of a dataset of the hub, through a stand-in for the package that loads them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fef.errors import InputError, OptionError
from fef.training.conversations import read_answers, read_prompts

ROWS = [
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "id": 3},
    {"prompt": "c", "response": "d"},
]
NAME = Path("owner/name.v2")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], list[tuple[str, str]]]:
    monkeypatch.chdir(tmp_path)
    asked: list[tuple[str, str]] = []

    def holds(found: Any) -> list[tuple[str, str]]:
        def load_dataset(name: str, split: str) -> Any:
            asked.append((name, split))
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return holds


def test_rows_of_a_dataset_are_read_as_lines_of_a_file_are(hub: Callable[[Any], list[tuple[str, str]]]) -> None:
    asked = hub(ROWS)
    assert [(answer.line, answer.response) for answer in read_answers(NAME)] == [(1, "b"), (2, "d")]
    assert [messages[-1]["content"] for messages in read_prompts(NAME)] == ["a", "c"]
    assert asked == [(NAME.as_posix(), "train")] * 2


@pytest.mark.parametrize("path", ["folder/chats.jsonl", "folder/chats.json", "deep/down/name", "./name"])
def test_what_looks_like_a_file_is_no_dataset(hub: Callable[[Any], list[tuple[str, str]]], path: str) -> None:
    asked = hub(ROWS)
    with pytest.raises(InputError, match="Cannot read"):
        read_answers(Path(path))
    assert asked == []


def test_a_file_of_that_name_comes_first(hub: Callable[[Any], list[tuple[str, str]]], tmp_path: Path) -> None:
    asked = hub(ROWS)
    (tmp_path / "owner").mkdir()
    (tmp_path / NAME).write_text('{"prompt": "e", "response": "f"}\n')
    assert [answer.response for answer in read_answers(NAME)] == ["f"]
    assert asked == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            FileNotFoundError("Dataset 'owner/name.v2' doesn't exist.\nmore"),
            "could be loaded: Dataset .* doesn't exist.$",
        ),
        (ValueError("Unknown split train"), "could be loaded: Unknown split train.$"),
        ([ROWS[0], {"text": "a"}], "owner/name.v2, line 2: expected"),
        ([], "holds no examples"),
    ],
)
def test_a_dataset_that_does_not_serve_is_said_in_a_sentence(
    hub: Callable[[Any], list[tuple[str, str]]], found: Any, words: str
) -> None:
    hub(found)
    with pytest.raises(InputError, match=words):
        read_answers(NAME)


def test_without_the_package_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(OptionError, match=r"pip install 'fef\[train\]'"):
        read_answers(NAME)
