"""Joint tasks: every right answer scores, near misses do not, and references are uniform."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.tasks import Problem, generate, score
from fef.tasks.joint import _finish_brackets

PROBLEMS = generate("joint", 600, 31)
TASKS = ("shuffle", "reverse", "replace", "brackets", "checksum")
WORDS = ["sun", "cat", "hat", "pie"]


def _joint(task: str, **check: object) -> Problem:
    return Problem("joint", task, "", "", check)


def test_tasks_are_about_equally_frequent() -> None:
    counts = Counter(problem.task for problem in PROBLEMS)
    assert set(counts) == set(TASKS)
    assert min(counts.values()) > 80


@given(st.permutations(WORDS))
def test_shuffle_takes_every_order_but_the_given_one(order: list[str]) -> None:
    assert score(_joint("shuffle", words=WORDS), ", ".join(order)) == (order != WORDS)
    assert score(_joint("reverse", words=WORDS), ", ".join(order)) == (order == WORDS[::-1])


@pytest.mark.parametrize(
    "response",
    [
        "cat, sun, hat, hat",
        "cat, sun, hat",
        "cat, sun, hat, pie, pie",
        "cat, sun, hat, dog",
        "cat sun hat pie",
        "cat, sun, hat, pie.",
    ],
)
def test_shuffle_negative_twins(response: str) -> None:
    assert not score(_joint("shuffle", words=WORDS), response)


def test_corrupted_references_are_wrong() -> None:
    for problem in PROBLEMS:
        response = problem.response
        for twin in (response[:-1], response[1:], f"{response} {response}", response + response[-1]):
            assert not score(problem, twin), (problem, twin)


def test_white_space_does_not_matter() -> None:
    for problem in PROBLEMS:
        assert score(problem, "\n" + problem.response.replace(" ", "  ") + " ")


@given(st.text("()[]{}", min_size=6, max_size=6))
def test_brackets_agree_with_erasing_pairs(text: str) -> None:
    rest = text
    for _ in range(3):
        rest = rest.replace("()", "").replace("[]", "").replace("{}", "")
    assert score(_joint("brackets", prefix=text[:1], total=6), text) == (rest == "")


@pytest.mark.parametrize("response", ["( [ ) ]", "( ) ( )", "[ ] ( )", "( [ ]", "( [ ] ) ( )", "( [ x ) ]", ") ( ] ["])
def test_bracket_negative_twins(response: str) -> None:
    problem = _joint("brackets", prefix="([", total=4)
    assert score(problem, "( [ ] )")
    assert not score(problem, response)


@given(st.lists(st.integers(0, 9), min_size=3, max_size=5))
def test_checksum_counts_length_first_digit_and_sum(digits: list[int]) -> None:
    right = len(digits) == 4 and digits[0] == 3 and sum(digits) % 10 == 7
    assert score(_joint("checksum", n=4, first=3, d=7), " ".join(map(str, digits))) == right


@pytest.mark.parametrize("response", ["3 1 1 3", "4 1 1 1", "3 1 1 1 1", "3 4 0", "3 1 1 ²", "-3 1 1 2", "3, 1, 1, 2"])
def test_checksum_negative_twins(response: str) -> None:
    problem = _joint("checksum", n=4, first=3, d=7)
    assert score(problem, "3 1 1 2")
    assert not score(problem, response)


def test_bracket_references_are_uniform_over_all_completions() -> None:
    valid = [
        text
        for text in map("".join, itertools.product("()[]{}", repeat=4))
        if score(_joint("brackets", prefix="(", total=4), text)
    ]
    rng = random.Random(0)
    counts = Counter(_finish_brackets(rng, "(", 4) for _ in range(4000))
    assert set(counts) == set(valid)
    _assert_uniform(counts)


def test_shuffle_references_are_uniform_over_all_orders() -> None:
    ranks: Counter[tuple[int, ...]] = Counter()
    for problem in generate("joint", 12_000, 5):
        if problem.task == "shuffle" and len(problem.check["words"]) == 4:
            ranks[tuple(problem.check["words"].index(word) for word in problem.response.split(", "))] += 1
    assert len(ranks) == 23
    _assert_uniform(ranks)


def _assert_uniform(counts: Counter[Any]) -> None:
    """Chi-square within four standard deviations of its mean."""
    mean, freedom = counts.total() / len(counts), len(counts) - 1
    statistic = sum((count - mean) ** 2 / mean for count in counts.values())
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)
