"""Word problems: worked steps that compute, forms that decide the response, and the scorer's twins."""

from __future__ import annotations

import re
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.tasks import Problem, generate, score
from fef.tasks.story_moves import TOPICS

PROBLEMS = generate("word-problems", 2000, 11)
_EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def test_every_equation_holds_and_the_last_one_is_the_answer() -> None:
    for problem in PROBLEMS:
        equations = _EQUATION.findall(problem.response)
        assert 2 <= len(equations) <= 5
        assert problem.response.count("=") == len(equations)
        for left, operator, right, result in equations:
            a, b, c = int(left), int(right), int(result)
            assert c == {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[operator]
            assert 0 < c <= 400
        assert int(equations[-1][3]) == problem.check["answer"]
        assert problem.response.endswith(f"\n#### {problem.check['answer']}")


def test_every_number_of_the_prompt_is_used_in_the_steps() -> None:
    for problem in PROBLEMS:
        assert set(re.findall(r"\d+", problem.prompt)) <= set(re.findall(r"\d+", problem.response))


@pytest.mark.parametrize("topic", TOPICS)
def test_the_story_decides_the_wording_of_the_solution(topic: str) -> None:
    moves = [*TOPICS[topic].openings, *TOPICS[topic].events, *TOPICS[topic].questions]
    assert len({move.story for move in moves}) == len(moves)
    for move in moves:
        # The hero, the pronoun and the unit are known from the opening; the amounts are worked out.
        known = _placeholders(move.story) | {"A", "she", "She", "u", "old", "new", "t"}
        assert {name.lower() for name in _placeholders(move.solution)} <= {name.lower() for name in known}


def test_steps_are_said_in_several_ways() -> None:
    """The same equation appears inside its sentence, before it, and alone: the free wording that has a joint law."""
    text = " ".join(problem.response for problem in PROBLEMS)
    assert len(re.findall(r"So \d+ \S \d+ = \d+", text)) > 1000
    assert len(re.findall(r"(?:^|[.] )\d+ \S \d+ = \d+[.]", text)) > 1000
    assert len(re.findall(r"[a-z,] \d+ \S \d+ = \d+", text)) > 1000


@given(st.integers(0, len(PROBLEMS) - 1), st.integers(-500, 500), st.sampled_from(["", " ", " $"]))
def test_only_the_right_number_after_the_last_mark_scores(index: int, number: int, gap: str) -> None:
    problem = PROBLEMS[index]
    right = number == problem.check["answer"]
    assert score(problem, f"steps #### 3\n####{gap}{number}") == right
    assert score(problem, f"{problem.response}\n#### {number}") == right


@pytest.mark.parametrize(
    "end", ["27", "#### ", "#### 28", "#### 27.5", "#### 27,000", "#### 270", "#### -27", "#### x27"]
)
def test_negative_twins(end: str) -> None:
    problem = Problem("word-problems", "things", "", "", {"answer": 27})
    assert not score(problem, f"20 + 7 = 27\n{end}")


def test_words_around_the_answer_do_not_matter() -> None:
    problem = Problem("word-problems", "things", "", "", {"answer": 27})
    assert all(score(problem, text) for text in ("#### 27", "####27.", "#### 27 apples", "x #### 1 #### 27\n"))


def _placeholders(form: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(form) if name}
