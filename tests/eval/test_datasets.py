"""Task files: what is read, and what is said of broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fef.errors import InputError, OptionError
from fef.eval.datasets import data_directory, parse_mapping, read_examples
from fef.eval.tasks import TASKS, prompt_of, shots_for

BROKEN = {
    "not JSON": ('{"a": 1}\n\n{"a": 1', r"tasks.jsonl:3: not JSON"),
    "no object": ("[1]\n", r"tasks.jsonl:1: list, not a JSON object"),
    "no field": ('{"a": 1}\n{"b": 2}\n', r"tasks.jsonl:2: no field a; it has b.*--field"),
    "empty": ("\n\n", "has no example"),
}


@pytest.mark.parametrize(("text", "complaint"), BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused_with_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_examples(path, ["a"])


def test_missing_and_unreadable_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"There is no .*--data DIR"):
        read_examples(tmp_path / "nothing.jsonl", [])
    (tmp_path / "latin.jsonl").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(InputError, match="UTF-8"):
        read_examples(tmp_path / "latin.jsonl", [])
    monkeypatch.setenv("FEF_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere is no folder .*FEF_DATA"):
        data_directory(None)
    monkeypatch.setenv("FEF_DATA", str(tmp_path))
    assert data_directory(None) == tmp_path
    assert data_directory(tmp_path.parent) == tmp_path.parent


def test_fields_can_have_other_names_and_lines_any_character(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"problem": "a\u2028b"}\n', encoding="utf-8")
    names = parse_mapping(["prompt=problem"], ["prompt", "answer"])
    assert read_examples(path, ["prompt"], names) == [{"problem": "a\u2028b", "prompt": "a\u2028b"}]
    for wrong in ("prompt", "prompt=", "promt=problem"):
        with pytest.raises(OptionError, match="NAME=FIELD"):
            parse_mapping([wrong], ["prompt"])


def test_prompts_show_their_shots_first(data: Path) -> None:
    task = TASKS["gsm8k"]
    example = read_examples(data / task.file, task.fields)[3]
    shots = shots_for(task, data, 2)
    text = prompt_of(task, example, shots, 2, chat=False)
    assert isinstance(text, str)
    assert text.count("Question: ") == 3
    assert text.index("1 + 1 = 2\n#### 2") < text.index("What is 3 plus 3?")
    assert text.endswith("Answer:")
    messages = prompt_of(task, example, shots, 2, chat=True)
    assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant", "user"]  # type: ignore[index]
    assert messages[-1] == {"role": "user", "content": task.ask(example)}  # type: ignore[index]


def test_shots_are_of_the_own_subject(data: Path) -> None:
    task = TASKS["mmlu"]
    example = read_examples(data / task.file, task.fields)[0]
    shots = shots_for(task, data, 1)
    assert len(shots) == 2
    assert str(prompt_of(task, example, shots, 1, chat=False)).count("Answer: B") == 1
    assert task.score(example, "A").right
    assert not task.score(example, "B").right


def test_mbpp_has_its_split_and_shots(data: Path, reference: Path) -> None:
    task = TASKS["mbpp"]
    assert [e["task_id"] for e in read_examples(data / task.file, task.fields) if task.select(e)] == [11, 510]
    assert [e["task_id"] for e in shots_for(task, reference, 3)] == [2, 3, 4]
    assert sum(map(task.select, read_examples(reference / task.file, task.fields))) == 500


def test_too_many_shots_are_refused(data: Path) -> None:
    with pytest.raises(OptionError, match="has 2 worked examples; --shots 3"):
        shots_for(TASKS["gsm8k"], data, 3)
    with pytest.raises(OptionError, match="math has no worked examples"):
        shots_for(TASKS["math"], data, 1)
