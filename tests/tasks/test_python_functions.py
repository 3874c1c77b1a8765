"""Python functions: shape of the references, tests that notice small mistakes, and responses that cheat."""

from __future__ import annotations

import ast
import json
import re

import pytest

from fef.tasks import Problem, generate, score

PROBLEMS = generate("python", 1500, 21)


def _first(part: str) -> Problem:
    # A second test can hide a mistake in the first: among odd numbers, "at least 28" and "greater than 28" agree.
    simple = (problem for problem in PROBLEMS if " and " not in problem.response)
    return next(problem for problem in simple if part in problem.response)


def test_references_are_functions_of_two_to_six_lines() -> None:
    for problem in PROBLEMS:
        (function,) = ast.parse(problem.response).body
        assert isinstance(function, ast.FunctionDef)
        assert function.name == problem.check["name"]
        assert f"`{function.name}({function.args.args[0].arg})`" in problem.prompt
        assert 2 <= len(problem.response.splitlines()) <= 6


def test_every_problem_has_five_cases_with_an_edge_case_and_plain_json_values() -> None:
    for problem in PROBLEMS:
        cases = problem.check["cases"]
        assert len(cases) >= 5
        assert any(argument in ([], "", 0) for argument, _ in cases)
        assert json.loads(json.dumps(cases)) == cases


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" > ", " >= "),
        (" >= ", " > "),
        (" < ", " <= "),
        (" <= ", " < "),
        ("% 2 == 0", "% 2 == 1"),
        ("x ** 2", "x * 2"),
        ("sorted", "list"),
        ("total +=", "total -="),
        ("total = ", "total = 1"),
        ("return total", "return total + 1"),
        ("        total", "        x"),
        ("startswith", "endswith"),
        ("s[::-1]", "s"),
        ("return", "print"),
        ("def ", "def un"),
        ("):", ")"),
    ],
)
def test_a_mistaken_twin_is_wrong(old: str, new: str) -> None:
    problem = _first(old)
    assert score(problem, problem.response)
    assert not score(problem, problem.response.replace(old, new))


def test_a_constant_that_is_off_by_one_is_wrong() -> None:
    loops = [(p, re.search(r" = (\d+)\n", p.response)) for p in PROBLEMS if p.task == "loop"]
    starts = [(p, found) for p, found in loops if found is not None]
    for problem, found in starts[:5]:
        twin = problem.response.replace(found[0], f" = {int(found[1]) + 1}\n")
        assert not score(problem, twin)


def test_a_function_written_otherwise_is_right() -> None:
    problem = Problem("python", "loop", "", "", {"name": "f", "cases": [[[], 0], [[2, 3], 13]]})
    assert score(problem, "def square(x):\n    return x * x\n\nf = lambda xs: sum(map(square, xs))\n")


@pytest.mark.parametrize(
    "response",
    [
        "def f(xs):\n    return True",
        "def f(xs):\n    return 1.0",
        "def f(xs):\n    raise SystemExit(0)",
        "def f(xs):\n    while True: xs = xs",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "repr = lambda x: 'same'\ndef f(xs): return 2",
        "class Same(int):\n    def __eq__(self, other): return True\ndef f(xs): return Same(2)",
        "f = 1",
        "def f(): return 1",
        "\0",
        "(" * 5000,
    ],
)
def test_a_response_that_cheats_or_fails_is_wrong(response: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fef.tasks.python_functions._SECONDS", 0.5)
    problem = Problem("python", "loop", "", "", {"name": "f", "cases": [[[], 1]]})
    assert not score(problem, response)
    assert score(problem, "def f(xs):\n    return 1")
