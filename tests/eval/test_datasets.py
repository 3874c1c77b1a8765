"""Task files: what is read, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fef.errors import InputError, OptionError
from fef.eval.datasets import anything, data_directory, parse_mapping, read_examples
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
        read_examples(path, {"a": anything})


def test_missing_and_unreadable_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"There is no .*--data DIR"):
        read_examples(tmp_path / "nothing.jsonl", {})
    (tmp_path / "latin.jsonl").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(InputError, match="UTF-8"):
        read_examples(tmp_path / "latin.jsonl", {})
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
    assert read_examples(path, {"prompt": anything}, names) == [{"problem": "a\u2028b", "prompt": "a\u2028b"}]
    for wrong in ("prompt", "prompt=", "promt=problem"):
        with pytest.raises(OptionError, match="NAME=FIELD"):
            parse_mapping([wrong], ["prompt"])


def test_prompts_show_their_shots_first(data: Path) -> None:
    task = TASKS["gsm8k"]
    example = task.read(data / task.file)[3]
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
    example = task.read(data / task.file)[0]
    shots = shots_for(task, data, 1)
    assert len(shots) == 2
    assert str(prompt_of(task, example, shots, 1, chat=False)).count("Answer: B") == 1
    assert task.score(example, "A").right
    assert not task.score(example, "B").right


def test_mbpp_has_its_split_and_shots(data: Path, reference: Path) -> None:
    task = TASKS["mbpp"]
    assert [e["task_id"] for e in task.read(data / task.file) if task.select(e)] == [11, 510]
    assert [e["task_id"] for e in shots_for(task, reference, 3)] == [2, 3, 4]
    assert sum(map(task.select, task.read(reference / task.file))) == 500


def test_too_many_shots_are_refused(data: Path) -> None:
    with pytest.raises(OptionError, match="has 2 worked examples; --shots 3"):
        shots_for(TASKS["gsm8k"], data, 3)
    with pytest.raises(OptionError, match="math has no worked examples"):
        shots_for(TASKS["math"], data, 1)


MBPP = {
    "text": "Write two.",
    "code": "def two(): return 2",
    "task_id": 11,
    "test_setup_code": "",
    "test_list": ["assert two()"],
}
HUMANEVAL = {"prompt": "def one():\n", "entry_point": "one", "test": "def check(f): pass"}
MMLU = {"question": "Which?", "choices": ["a", "b", "c"], "answer": 1, "subject": "s"}
GSM8K = {"question": "How many?", "answer": "#### 3"}
UNUSABLE = {
    "list for text": ("mbpp", MBPP | {"text": ["Write", "two"]}, "field text must be a text, not list"),
    "null for code": ("mbpp", MBPP | {"code": None}, "field code must be a text, not null"),
    "text for tests": (
        "mbpp",
        MBPP | {"test_list": "assert two()"},
        "test_list must be a list of at least one text, not str",
    ),
    "no tests": ("mbpp", MBPP | {"test_list": []}, "test_list must be a list of at least one text"),
    "null among tests": ("mbpp", MBPP | {"test_list": [None]}, "test_list must be a list"),
    "number for imports": (
        "mbpp",
        MBPP | {"test_setup_code": 3},
        "test_setup_code must be a text, a list of texts or null, not int",
    ),
    "numbers in imports": (
        "mbpp",
        MBPP | {"test_setup_code": [3]},
        "test_setup_code must be a text, a list of texts or null",
    ),
    "text for id": ("mbpp", MBPP | {"task_id": "Mbpp/11"}, "task_id must be a whole number, not str"),
    "other function": ("humaneval", HUMANEVAL | {"entry_point": "two"}, "prompt does not begin the function 'two'"),
    "no choices": ("mmlu", MMLU | {"choices": "abc"}, "choices must be a list"),
    "answer beyond": ("mmlu", MMLU | {"answer": 3}, "answer 3 is none of the 3 choices"),
    "letter beyond": ("mmlu", MMLU | {"answer": "D"}, "answer 'D' is none of the 3 choices"),
    "fraction for answer": (
        "mmlu",
        MMLU | {"answer": 1.5},
        "answer must be a letter, or the number of a choice from 0, not float",
    ),
    "true for answer": ("mmlu", MMLU | {"answer": True}, "answer must be a letter, or the number"),
    "no number": ("gsm8k", GSM8K | {"answer": "#### three"}, "the answer has no number"),
    "list for answer": ("math", {"prompt": "Half?", "answer": ["1/2"]}, "answer must be a text or a number, not list"),
}


@pytest.mark.parametrize(("name", "example", "complaint"), UNUSABLE.values(), ids=UNUSABLE)
def test_values_that_a_task_cannot_use_are_refused_with_the_line(
    tmp_path: Path, name: str, example: dict[str, object], complaint: str
) -> None:
    path = tmp_path / "tasks.jsonl"
    usable = {
        "mbpp": MBPP,
        "humaneval": HUMANEVAL,
        "mmlu": MMLU,
        "gsm8k": GSM8K,
        "math": {"prompt": "Half?", "answer": 0.5},
    }
    write(path, [usable[name], example])
    with pytest.raises(InputError, match=f"tasks.jsonl:2: .*{complaint}"):
        TASKS[name].read(path)


@pytest.mark.parametrize(
    ("imports", "setup"),
    [(["import math", "TWO = 2"], "import math\nTWO = 2"), (None, ""), ([], ""), ("TWO = 2", "TWO = 2")],
)
def test_the_sanitized_split_of_mbpp_is_read(tmp_path: Path, imports: object, setup: str) -> None:
    path = tmp_path / "sanitized.jsonl"
    names = parse_mapping(["text=prompt", "test_setup_code=test_imports"], TASKS["mbpp"].fields)
    example = {"prompt": "Write two.", "code": "def two(): return 2", "task_id": 11, "test_list": ["assert two() == 2"]}
    write(path, [example | {"test_imports": imports}])
    (found,) = TASKS["mbpp"].read(path, names)
    assert (found["text"], found["test_setup_code"]) == ("Write two.", setup)
    assert TASKS["mbpp"].score(found, found["code"]).right


def test_numbers_may_stand_where_answers_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    write(path, [{"question": "How many?", "answer": 3}])
    (example,) = TASKS["gsm8k"].read(path)
    assert TASKS["gsm8k"].score(example, "#### 3").right


def write(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
