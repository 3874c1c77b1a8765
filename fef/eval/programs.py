"""Programs in answers, and whether they pass their tests (HumanEval, MBPP). They run in `fef.tasks.sandbox`."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Sequence

from fef.eval.code import defined_names, parsed
from fef.tasks.sandbox import run_python

__all__ = ["called_names", "humaneval_program", "mbpp_program", "passes"]

SECONDS = 10.0
MEMORY_MIB = 1024

# What a continuation of a function starts when it goes on behind the function's end.
_NEXT = re.compile(r"\n(?:def |class |if |print|assert |from |import |@|#|```|<\|)")


def humaneval_program(prompt: str, entry_point: str, test: str, code: str) -> str:
    """The program that tests the code of an answer to a HumanEval prompt: a whole function, or the rest of the one begun.

    A whole function gets the imports and helpers that stand above it in the prompt.
    """
    if entry_point in defined_names(code):
        program = prompt[: prompt.rindex(f"def {entry_point}(")] + code
    else:
        program = prompt + _NEXT.split("\n" + code, maxsplit=1)[0].removeprefix("\n")
    return f"{program}\n{test}\ncheck({entry_point})\n"


def mbpp_program(setup: str, tests: Sequence[str], code: str) -> str:
    """The program that tests the code of an answer to an MBPP prompt."""
    return "\n".join([code, setup, *tests]) + "\n"


def called_names(setup: str, tests: Sequence[str]) -> Collection[str]:
    """What the tests of an MBPP task call and neither they nor Python define: the names that an answer should define."""
    source = "\n".join([setup, *tests])
    tree = parsed(source)
    nodes = [] if tree is None else ast.walk(tree)
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return called - defined_names(source) - set(dir(builtins))


def passes(program: str) -> bool:
    """Whether a program runs to its end within the time (10 s) and memory (1 GiB) of the sandbox."""
    return run_python(program, timeout=SECONDS, memory_mib=MEMORY_MIB).ok
