"""Programs of HumanEval and MBPP: how answers become programs, and that every reference solution passes in the sandbox."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fef.eval.datasets import Example, read_examples
from fef.eval.programs import code_of, humaneval_program, mbpp_program, passes
from fef.eval.tasks import TASKS
from fef.tasks.sandbox import run_python

# Right, but slow: it tries every divisor of every number up to 10,000, 4 s and more, while the limit of a run is 10 s.
SLOW_REFERENCES = {"123"}

CODE = {
    "Sure.\n```python\nx = 1\ny = 2\n```\nDone.\n```\nz\n```": "x = 1\ny = 2",
    "```\nx = 1\n```": "x = 1",
    "```py\nx = 1": "x = 1",
    "[BEGIN]\n'x = 1'\n[DONE] more": "x = 1",
    "x = 1": "x = 1",
    "": "",
}


@pytest.mark.parametrize(("response", "code"), CODE.items())
def test_code_of(response: str, code: str) -> None:
    assert code_of(response) == code


PROMPT = (
    "import math\n\ndef half(x):\n    return x / 2\n\ndef root(x: float) -> float:\n    '''The root of half of x.'''\n"
)
TEST = "def check(candidate):\n    assert candidate(8) == 2\n"
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
    assert passes(humaneval_program(PROMPT, "root", TEST, response))


@pytest.mark.parametrize("response", WRONG.values(), ids=WRONG)
def test_wrong_answers_fail(response: str) -> None:
    assert not passes(humaneval_program(PROMPT, "root", TEST, response))


def test_mbpp_answers() -> None:
    tests = ["assert two() == TWO"]
    assert passes(mbpp_program("TWO = 2", tests, "```python\ndef two():\n    return 2\n```"))
    assert not passes(mbpp_program("TWO = 2", tests, "def two():\n    return 3"))


def references(data: Path) -> list[tuple[str, str, str]]:
    """(id, program of the reference solution, program of a stub) of all 164 and 974 tasks, in both forms of an answer."""
    found = []
    humaneval, mbpp = TASKS["humaneval"], TASKS["mbpp"]
    for e in read_examples(data / humaneval.file, [*humaneval.fields, "canonical_solution", "task_id"]):
        found.append((e["task_id"], program_of(e, e["canonical_solution"]), program_of(e, "    return None\n")))
    for e in read_examples(data / mbpp.file, mbpp.fields):
        tests = e["test_setup_code"], e["test_list"]
        found.append((str(e["task_id"]), mbpp_program(*tests, mbpp.answer(e)), mbpp_program(*tests, "pass")))
    return found


def program_of(example: Example, response: str) -> str:
    return humaneval_program(example["prompt"], example["entry_point"], example["test"], response)


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
    examples = read_examples(reference / task.file, [*task.fields, "canonical_solution", "task_id"])
    assert failures([(e["task_id"], program_of(e, f"```python\n{task.answer(e)}\n```")) for e in examples]) == set()
