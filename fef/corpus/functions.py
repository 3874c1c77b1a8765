"""MBPP's training tasks: asked as the evaluation asks, with the tests, or with the signature; answered with the function."""

from __future__ import annotations

import ast
import random

from fef.corpus.example import CorpusExample, code_block, exchange
from fef.eval.datasets import Example
from fef.eval.programs import called_names
from fef.eval.tasks import TASKS

__all__ = ["TRAINING_TASKS", "asked_function", "signature_of"]

TRAINING_TASKS = range(601, 975)  # the split of the paper (2108.07732)

_ASKS = (
    "{text} Name it `{signature}`.",
    "{text} Its signature is `{signature}`.",
    "{text}\n\n`def {signature}:`",
)


def asked_function(source: str, task: Example, rng: random.Random) -> CorpusExample | None:
    """A task with its answer; None for code that does not define what the tests call."""
    signature = signature_of(task)
    if signature is None:
        return None
    text = " ".join(str(task["text"]).split()).rstrip(". ") + "."
    if rng.random() < 0.5:
        asked = TASKS["mbpp"].ask({**task, "text": text})
    else:
        python = text.replace("Write a function", "Write a Python function").replace("a python function", "a Python function")
        asked = rng.choice(_ASKS).format(text=python, signature=signature)
    return exchange(source, asked, code_block(str(task["code"])))


def signature_of(task: Example) -> str | None:
    """`last(arr, x, n)`: name and parameters of the function that the tests call."""
    wanted = called_names(task["test_setup_code"], task["test_list"])
    try:
        statements = ast.parse(str(task["code"]).replace("\t", "    ")).body
    except SyntaxError:
        return None
    found = [s for s in statements if isinstance(s, ast.FunctionDef) and s.name in wanted]
    return f"{found[-1].name}({ast.unparse(found[-1].args)})" if found else None
