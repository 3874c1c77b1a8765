"""A planted test item, and a planted variation of one, are caught; what only looks alike is not."""

import re
from pathlib import Path

import pytest
from tiny_data import TEST_QUESTION

from fef.corpus.example import Solved, exchange
from fef.corpus.overlap import TestItems, read_test_items
from fef.corpus.sources import Listed, render_problem

SHEEP = TEST_QUESTION


@pytest.fixture(scope="module")
def items(data: Path) -> TestItems:
    return read_test_items(data)


@pytest.mark.parametrize(
    "text",
    [
        SHEEP,
        SHEEP.replace("4 times", "7 times").replace("20 sheep", "1,250 sheep"),
        SHEEP.replace("4 times", "three times"),
        SHEEP.upper().replace(",", ""),
        f"Question: {SHEEP}\nLet's think step by step.\nAnswer:",
        "Ana asks: if Charleston has 9 times as many sheep as Seattle, how many does it have?",
        "Each jar of honey from the old mill costs $12. What do 8 jars cost?",
        "Write a Python function to double each even number of a list. Name it `add(x)`.",
        "Write a Python function that gives the number of letters that x has before its first space.",
        "what is $3^4$ ?",
    ],
    ids=[
        *(
            "item",
            "variation",
            "in-words",
            "capitals",
            "as-asked",
            "part",
            "short-problem",
            "function",
            "docstring",
            "whole",
        ),
    ],
)
def test_a_planted_test_item_or_variation_is_caught(items: TestItems, text: str) -> None:
    assert items.overlap(exchange("planted", text, "Yes."))


def test_a_test_item_in_an_answer_is_caught(items: TestItems) -> None:
    assert items.overlap(exchange("planted", "Tell me a problem.", SHEEP))


@pytest.mark.parametrize(
    "text",
    [
        "Charleston has 4 times as many sheep as Boston. How many sheep do both have?",
        "12 + 7 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 = 94",
        "Write a Python function to add two numbers.",
        "What is $2^5$ times three, and why is it what it is?",
        "Each jar of honey costs 7 coins.",
        "",
    ],
)
def test_other_text_is_no_overlap(items: TestItems, text: str) -> None:
    assert items.overlap(exchange("other", text, "Yes.")) is None


def test_training_problems_that_overlap_are_dropped_and_counted(items: TestItems) -> None:
    planted = Solved(re.sub(r"\d+", "5", SHEEP), "5 + 5 = <<5+5=10>>10\n#### 10")
    fine = Solved("Nora has 5 hats and 6 caps. How many is that?", "5 + 6 = <<5+6=11>>11\n#### 11")
    source = Listed("problems", [fine, planted], render_problem).without(items)
    assert source.items == [fine]
    assert source.left_out["overlap"] == 1
