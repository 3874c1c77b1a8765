"""Procedural problems with exact scorers: word problems, short Python functions, and joint-structure tasks.

A problem belongs to one split by its prompt's text alone, so no held-out prompt is ever drawn for training.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from fef.errors import OptionError, nearest_hint
from fef.tasks import joint, python_functions, word_problems
from fef.tasks.jsonl import read_jsonl, write_jsonl
from fef.tasks.problem import Problem
from fef.tasks.splits import SPLITS, Split, split_of

__all__ = ["FAMILIES", "Problem", "Split", "demo_problems", "generate", "read_jsonl", "score", "write_jsonl"]

_DRAW: dict[str, Callable[[random.Random], Problem]] = {
    word_problems.FAMILY: word_problems.draw,
    python_functions.FAMILY: python_functions.draw,
    joint.FAMILY: joint.draw,
}
_SCORE: dict[str, Callable[[Problem, str], bool]] = {
    word_problems.FAMILY: word_problems.score,
    python_functions.FAMILY: python_functions.score,
    joint.FAMILY: joint.score,
}
FAMILIES: tuple[str, ...] = tuple(_DRAW)

_DEMO_TASKS = {word_problems.FAMILY: "things", python_functions.FAMILY: "numbers", joint.FAMILY: "shuffle"}

# Draws in a row without a new held-out prompt before a family counts as used up.
_PATIENCE = 20_000


def generate(family: str, count: int, seed: int, split: Split = "train") -> list[Problem]:
    """Draw `count` problems of a family; the same arguments give the same list, and a longer list starts with it.

    Held-out problems have distinct prompts. Raises `fef.errors.OptionError` for an unknown family or split, a negative
    count, or more held-out problems than the family has.
    """
    _require_known("family", family, FAMILIES)
    _require_known("split", split, SPLITS)
    if count < 0:
        raise OptionError(f"count must be at least 0, not {count}.")
    rng = random.Random(f"{family}/{split}/{seed}")
    problems: list[Problem] = []
    seen: set[str] = set()
    misses = 0
    while len(problems) < count:
        problem = _DRAW[family](rng)
        if split_of(problem.prompt) != split or problem.prompt in seen:
            misses += 1
            if misses > _PATIENCE:
                raise OptionError(f"The family {family!r} has fewer than {count} problems in the split {split!r}.")
            continue
        misses = 0
        problems.append(problem)
        if split == "held-out":
            seen.add(problem.prompt)
    return problems


def score(problem: Problem, response: str) -> bool:
    """Whether the response solves the problem; Python responses run in a child process (about 20 ms)."""
    _require_known("family", problem.family, FAMILIES)
    return _SCORE[problem.family](problem, response)


def demo_problems() -> list[Problem]:
    """Three fixed held-out problems, one of each family."""
    return [
        next(problem for problem in generate(family, 40, seed=0, split="held-out") if problem.task == task)
        for family, task in _DEMO_TASKS.items()
    ]


def _require_known(option: str, name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise OptionError(f"Unknown {option} {name!r}.{nearest_hint(name, allowed)}")
