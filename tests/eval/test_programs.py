"""Programs of HumanEval and MBPP: how answers become programs, and that every reference solution passes in the sandbox."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fef.eval.code import called_names, humaneval_program, mbpp_program, python_code
from fef.eval.datasets import Example
from fef.eval.tasks import TASKS
from fef.tasks.sandbox import run_python

# Right, but slow: it tries every divisor of every number up to 10,000, 4 s and more, while the limit of a run is 10 s.
SLOW_REFERENCES = {"123"}

PROMPT = (
    "import math\n\ndef half(x):\n    return x / 2\n\ndef root(x: float) -> float:\n    '''The root of half of x.'''\n"
)
TEST = "def check(candidate):\n    assert candidate(8) == 2\n"
ROOT = {"prompt": PROMPT, "entry_point": "root", "test": TEST}
RIGHT = {
    "the rest": "    return math.sqrt(half(x))",
    "the rest and more": "    y = half(x)\n\n    return math.sqrt(y)\n\ndef other():\n    raise\nprint(undefined)",
    "whole": "```python\ndef root(x):\n    return math.sqrt(half(x))\n```",
    "whole with its own import": "```python\nfrom math import sqrt\n\ndef root(x):\n    return sqrt(x / 2)\n```",
    "whole, untyped": "def root(x): return math.sqrt(half(x))",
}
WRONG = {
    "the rest": "    return half(math.sqrt(x))",
    "nothing": "",
    "words": "I cannot do that.",
    "no function": "```python\nx = 1\n```",
    "cheat": "    import os\n    os._exit(0)",
}


@pytest.mark.parametrize("response", RIGHT.values(), ids=RIGHT)
def test_right_answers_pass(response: str) -> None:
    assert TASKS["humaneval"].score(ROOT, response).right


@pytest.mark.parametrize("response", WRONG.values(), ids=WRONG)
def test_wrong_answers_fail(response: str) -> None:
    assert not TASKS["humaneval"].score(ROOT, response).right


MBPP = {"test_setup_code": "TWO = 2", "test_list": ["assert two() == TWO"]}


@pytest.mark.parametrize(
    "response",
    [
        "```python\ndef two():\n    return 2\n```",
        "```\n2\n```\n```python\ndef two():\n    return 2\n```\n```python\ntwo()\nraise\n```",
        "'def two():\n    return 2'\n[DONE]\nYou are an expert",
        "[BEGIN]\ndef two():\n    return int('2')\n[DONE]",
        "Here it is:\ndef two():\n    return 2\nIt's right.",
    ],
)
def test_right_answers_to_mbpp_pass(response: str) -> None:
    assert TASKS["mbpp"].score(MBPP, response).right


@pytest.mark.parametrize("response", ["def two():\n    return 3", "", "```bash\ndef two(): return 2\n```"])
def test_wrong_answers_to_mbpp_fail(response: str) -> None:
    assert not TASKS["mbpp"].score(MBPP, response).right


def references(data: Path) -> list[tuple[str, str, str]]:
    """(id, program of the reference solution, program of a stub) of all 164 and 974 tasks, in both forms of an answer."""
    found = []
    humaneval, mbpp = TASKS["humaneval"], TASKS["mbpp"]
    for e in humaneval.read(data / humaneval.file):
        found.append((e["task_id"], humaneval_of(e, e["canonical_solution"]), humaneval_of(e, "    return None\n")))
    for e in mbpp.read(data / mbpp.file):
        found.append((str(e["task_id"]), mbpp_of(e, mbpp.answer(e)), mbpp_of(e, "pass")))
    return found


def humaneval_of(example: Example, response: str) -> str:
    code = python_code(response, [example["entry_point"]])
    return humaneval_program(example["prompt"], example["entry_point"], example["test"], code)


def mbpp_of(example: Example, response: str) -> str:
    setup, tests = example["test_setup_code"], example["test_list"]
    return mbpp_program(setup, tests, python_code(response, called_names(setup, tests)))


def failures(programs: list[tuple[str, str]], seconds: float = 10.0) -> set[str]:
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda pair: run_python(pair[1], timeout=seconds, memory_mib=1024), programs)
        return {name for (name, _), result in zip(programs, results, strict=True) if not result.ok}


def test_a_sample_of_references_passes_and_its_stubs_fail(reference: Path) -> None:
    sample = references(reference)[::37]
    assert failures([(name, right) for name, right, _ in sample]) == set()
    assert failures([(name, stub) for name, _, stub in sample]) == {name for name, _, _ in sample}


@pytest.mark.slow
def test_all_references_pass_and_their_stubs_fail(reference: Path) -> None:
    everything = references(reference)
    assert len(everything) == 164 + 974
    assert failures([(name, right) for name, right, _ in everything]) <= SLOW_REFERENCES
    assert failures([(name, right) for name, right, _ in everything if name in SLOW_REFERENCES], 120.0) == set()
    assert failures([(name, stub) for name, _, stub in everything]) == {name for name, _, _ in everything}


@pytest.mark.slow
def test_all_references_pass_as_whole_functions(reference: Path) -> None:
    task = TASKS["humaneval"]
    examples = task.read(reference / task.file)
    assert failures([(e["task_id"], humaneval_of(e, f"```python\n{task.answer(e)}\n```")) for e in examples]) == set()
