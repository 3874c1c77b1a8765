"""The examples of the README, the pages and the help come out right on the shipped checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fef
from fef.cli import chat, generate
from fef.cli.options import QUESTION

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "docs/methods.md")}
ANSWER = "#### 30"  # 12 + 3 * 6


@pytest.fixture(scope="module")
def demo() -> fef.Model:
    return fef.load("demo", device="cpu")


def test_every_question_to_the_demo_is_one_that_it_answers(demo):
    texts = [*PAGES.values(), generate.EXAMPLE, chat.EXAMPLE]
    asked = {q for text in texts for q in re.findall(r'(?:fef generate|echo) "([^"]{4,})"(?!.*--model)', text)}
    assert asked == {QUESTION}
    assert demo.generate(QUESTION).text.endswith(ANSWER)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "threshold", "threshold": 0.95},
        {"temperature": 0.7, "seed": 3, "accept": "rejection"},
    ],
)
def test_the_answer_is_right_with_the_options_of_the_examples(demo, options):
    assert demo.generate(QUESTION, **options).text.endswith(ANSWER)
