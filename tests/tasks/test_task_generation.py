"""What `generate`, the splits and the files promise for every family."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fef.errors import InputError, OptionError
from fef.tasks import FAMILIES, Problem, demo_problems, generate, read_jsonl, score, write_jsonl
from fef.tasks.splits import split_of

each_family = pytest.mark.parametrize("family", FAMILIES)


@each_family
def test_same_arguments_give_the_same_problems_and_a_longer_list_starts_with_a_shorter(family: str) -> None:
    for split in ("train", "held-out"):
        assert generate(family, 40, 7, split)[:10] == generate(family, 10, 7, split)
    assert generate(family, 10, 7) != generate(family, 10, 8)


@each_family
def test_no_prompt_is_in_both_splits(family: str) -> None:
    train = {problem.prompt for seed in range(2) for problem in generate(family, 1000, seed)}
    held_out = [problem.prompt for problem in generate(family, 100, 0, "held-out")]
    assert not train.intersection(held_out)
    assert len(set(held_out)) == len(held_out)
    assert {split_of(prompt) for prompt in train} == {"train"}
    assert {split_of(prompt) for prompt in held_out} == {"held-out"}


def test_the_hash_of_a_prompt_never_changes() -> None:
    # A changed hash would move shipped held-out prompts into training.
    assert [index for index in range(60) if split_of(f"prompt {index}") == "held-out"] == [14, 22]


@each_family
def test_references_are_right(family: str) -> None:
    problems = [*generate(family, 110, 1), *generate(family, 10, 1, "held-out")]
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda problem: score(problem, problem.response), problems))


@each_family
def test_an_empty_or_foreign_response_is_wrong(family: str) -> None:
    for problem in generate(family, 5, 2):
        assert not score(problem, "")
        assert not score(problem, problem.prompt)


@pytest.mark.parametrize("task", ["reverse", "replace"])
def test_one_prompt_has_one_response_in_the_determined_joint_tasks(task: str) -> None:
    problems = generate("joint", 8000, 3)
    _assert_function([(problem.prompt, problem.response) for problem in problems if problem.task == task])


@each_family
def test_most_prompts_are_distinct(family: str) -> None:
    assert len({problem.prompt for problem in generate(family, 2000, 4)}) > 1900


def test_demo_problems_are_held_out_and_cover_the_families() -> None:
    problems = demo_problems()
    assert problems == demo_problems()
    assert [problem.family for problem in problems] == list(FAMILIES)
    assert all(split_of(problem.prompt) == "held-out" for problem in problems)


def test_unknown_names_are_refused_with_a_hint() -> None:
    with pytest.raises(OptionError, match="Did you mean 'python'"):
        generate("pyton", 1, 0)
    with pytest.raises(OptionError, match="Did you mean 'held-out'"):
        generate("python", 1, 0, "heldout")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at least 0"):
        generate("python", -1, 0)
    with pytest.raises(OptionError, match="Unknown family"):
        score(replace(generate("joint", 1, 0)[0], family="riddles"), "")


def test_a_family_without_enough_held_out_problems_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    only = next(p for p in (Problem("joint", "reverse", f"p {i}", "", {}) for i in range(99)) if _held_out(p))
    monkeypatch.setitem(generate.__globals__["_DRAW"], "joint", lambda _: only)
    assert generate("joint", 1, 0, "held-out") == [only]
    with pytest.raises(OptionError, match="fewer than 2"):
        generate("joint", 2, 0, "held-out")


def test_problems_survive_a_file(tmp_path: Path) -> None:
    problems = [problem for family in FAMILIES for problem in generate(family, 50, 5)]
    path = tmp_path / "problems.jsonl"
    path.write_text("old")
    write_jsonl(path, problems)
    assert read_jsonl(path) == problems
    assert [entry.name for entry in tmp_path.iterdir()] == ["problems.jsonl"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text("old")
    unwritable: Mapping[str, Any] = {"answer": object()}
    with pytest.raises(TypeError):
        write_jsonl(path, [Problem("joint", "reverse", "p", "r", unwritable)])
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["problems.jsonl"]


@pytest.mark.parametrize("line", ["{", "[]", '{"family": "joint"}', json.dumps(dict.fromkeys(Problem.__annotations__))])
def test_a_line_that_is_no_problem_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=r"problems\.jsonl:2: "):
        read_jsonl(path)


def _assert_function(pairs: list[tuple[str, str]]) -> None:
    responses: dict[str, str] = {}
    for prompt, response in pairs:
        assert responses.setdefault(prompt, response) == response


def _held_out(problem: Problem) -> bool:
    return split_of(problem.prompt) == "held-out"
