"""Short Python functions asked for in words; a response is right when it passes unit tests."""

from __future__ import annotations

import random

from fef.tasks.inventory import COLOURS, THINGS
from fef.tasks.problem import Problem
from fef.tasks.python_tasks import TASKS
from fef.tasks.sandbox import run_python

__all__ = ["draw", "score"]

FAMILY = "python"
_SECONDS = 5.0
_VERBS = ("get", "find", "make", "take", "count", "pick", "show", "sort")
_ASKS = (
    "Write a Python function `{call}` that returns {returns}.",
    "Write a function `{call}` in Python. It returns {returns}.",
    "Define a Python function `{call}` that gives {returns}.",
    "The Python function `{call}` returns {returns}. Write it.",
)


def draw(rng: random.Random) -> Problem:
    """Draw one problem; its response is the source of the function."""
    name = "_".join(map(rng.choice, (_VERBS, COLOURS, THINGS)))
    kind = rng.choice(tuple(TASKS))
    task = TASKS[kind](rng)
    prompt = rng.choice(_ASKS).format(call=f"{name}({task.parameter})", returns=task.returns)
    cases = [[argument, task.reference(argument)] for argument in task.inputs]
    source = f"def {name}({task.parameter}):\n{task.body}"
    return Problem(FAMILY, kind, prompt, source, {"name": name, "cases": cases})


# The response runs in a namespace of its own, so it cannot redefine what the tests use by accident. Comparing `repr`
# tells True from 1 inside lists too.
_TESTS = """
namespace = {{"__name__": "answer"}}
exec({response!r}, namespace)
for argument, expected in {cases!r}:
    result = namespace[{name!r}](argument)
    if type(result) is not type(expected) or repr(result) != repr(expected):
        raise AssertionError(f"{{result!r}} is not {{expected!r}}")
"""


def score(problem: Problem, response: str) -> bool:
    """Whether the asked function gives every expected output; it runs in `fef.tasks.sandbox.run_python`."""
    check = problem.check
    tests = _TESTS.format(response=response, cases=check["cases"], name=check["name"])
    return run_python(tests, timeout=_SECONDS).ok
