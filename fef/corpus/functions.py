"""MBPP's training tasks: asked as the evaluation asks, with the tests, or with the signature; answered with the function."""

from __future__ import annotations

import ast
import random
from collections.abc import Collection

from fef.corpus.example import CorpusExample, code_block, exchange
from fef.errors import InputError
from fef.eval.code import called_names
from fef.eval.datasets import Example
from fef.eval.tasks import TASKS

__all__ = ["TRAINING_TASKS", "asked_function", "signature_of"]

TRAINING_TASKS = range(601, 975)  # the split of the paper (2108.07732)

_ASKS = (
    "{text} Name it `{signature}`.",
    "{text} Its signature is `{signature}`.",
    "{text}\n\n`def {signature}:`",
)


def asked_function(source: str, task: Example, rng: random.Random) -> CorpusExample:
    """A task with its answer, in uniform layout. Raises InputError for code that does not define what its tests call."""
    code = ast.parse(str(task["code"]).replace("\t", "    "))
    signature = signature_of(code, called_names(task["test_setup_code"], task["test_list"]))
    if signature is None:
        raise InputError(f"The code of task {task['task_id']} does not define what its tests call. Remove it.")
    text = " ".join(str(task["text"]).split()).rstrip(". ") + "."
    if rng.random() < 0.5:
        asked = TASKS["mbpp"].ask({**task, "text": text})
    else:
        python = text.replace("Write a function", "Write a Python function").replace(
            "a python function", "a Python function"
        )
        asked = rng.choice(_ASKS).format(text=python, signature=signature)
    return exchange(source, asked, code_block(ast.unparse(code)))


def signature_of(code: ast.Module, wanted: Collection[str]) -> str | None:
    """`last(arr, x, n)`: name and parameters of the last function that has one of these names; None for none."""
    found = [s for s in code.body if isinstance(s, ast.FunctionDef) and s.name in wanted]
    return f"{found[-1].name}({ast.unparse(found[-1].args)})" if found else None
