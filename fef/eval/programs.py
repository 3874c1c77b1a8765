"""Programs in answers, and whether they pass their tests (HumanEval, MBPP). They run in `fef.tasks.sandbox`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fef.tasks.sandbox import run_python

__all__ = ["code_of", "humaneval_program", "mbpp_program", "passes"]

SECONDS = 10.0
MEMORY_MIB = 1024

_FENCE = re.compile(r"```(?:[pP]ython3?|py)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_BEGIN = re.compile(r"\[BEGIN\]\s*'?(.*?)'?\s*(?:\[DONE\]|\Z)", re.DOTALL)
# What a continuation of a function starts when it goes on behind the function's end.
_NEXT = re.compile(r"\n(?:def |class |if |print|assert |from |import |@|#|```|<\|)")


def code_of(response: str) -> str:
    """The program of an answer: its first fenced block, what stands between [BEGIN] and [DONE], or all of it."""
    for pattern in (_FENCE, _BEGIN):
        found = pattern.search(response)
        if found:
            return found[1]
    return response


def humaneval_program(prompt: str, entry_point: str, test: str, response: str) -> str:
    """The program that tests an answer to a HumanEval prompt: a whole function, or the rest of the one that was begun.

    A whole function gets the imports and helpers that stand above it in the prompt.
    """
    code = code_of(response)
    head = f"def {entry_point}("
    if head in code:
        program = prompt[: prompt.rindex(head)] + code
    else:
        program = prompt + _NEXT.split("\n" + code, maxsplit=1)[0].removeprefix("\n")
    return f"{program}\n{test}\ncheck({entry_point})\n"


def mbpp_program(setup: str, tests: Sequence[str], response: str) -> str:
    """The program that tests an answer to an MBPP prompt."""
    return "\n".join([code_of(response), setup, *tests]) + "\n"


def passes(program: str) -> bool:
    """Whether a program runs to its end within the time (10 s) and memory (1 GiB) of the sandbox."""
    return run_python(program, timeout=SECONDS, memory_mib=MEMORY_MIB).ok
