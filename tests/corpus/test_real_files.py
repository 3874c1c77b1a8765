"""On the real files: every template gives its own problem back, variations hold, no test item is left. Needs FEF_DATA."""

import json
import os
import random
from pathlib import Path

import pytest

from fef.corpus.check import is_worked_out
from fef.corpus.example import Solved, exchange
from fef.corpus.overlap import TEST_FILES, TestItems, read_test_items
from fef.corpus.problems import vary
from fef.corpus.sources import read_gsm8k, read_short_problems
from fef.corpus.template import Refused, Template, template_of
from fef.corpus.variation import original_values, written

SAMPLE = 400  # problems of each file


@pytest.fixture(scope="module")
def folder() -> Path:
    if "FEF_DATA" not in os.environ:
        pytest.skip("FEF_DATA is not set to the folder of training and test files")
    return Path(os.environ["FEF_DATA"])


@pytest.fixture(scope="module", params=["gsm8k", "mawps-asdiv"])
def problems(request: pytest.FixtureRequest, folder: Path) -> list[Solved]:
    everything = read_gsm8k(folder) if request.param == "gsm8k" else read_short_problems(folder)
    return random.Random(0).sample(everything, SAMPLE)


def templates(problems: list[Solved]) -> list[tuple[Solved, Template]]:
    found = []
    for problem in problems:
        try:
            found.append((problem, template_of(problem.question, problem.solution)))
        except Refused:
            continue
    return found


def test_half_of_the_problems_can_vary_and_each_gives_itself_back(problems: list[Solved]) -> None:
    found = templates(problems)
    assert len(found) > 0.45 * len(problems)
    assert all(written(t, original_values(t)) == (problem.question, problem.solution) for problem, t in found)


def test_almost_all_first_variations_work_out(problems: list[Solved]) -> None:
    rng = random.Random(1)
    drawn = [vary(template, rng) for _, template in templates(problems)]
    assert sum(problem is None for problem in drawn) < 0.03 * len(drawn)
    assert all(is_worked_out(problem.solution) for problem in drawn if problem)


def test_every_test_question_is_caught(folder: Path) -> None:
    items: TestItems = read_test_items(folder)
    for name in ("gsm8k_test.jsonl", "svamp.jsonl"):
        for line in (folder / name).read_text().splitlines():
            assert items.overlap(exchange("planted", json.loads(line)[TEST_FILES[name]], ""))
