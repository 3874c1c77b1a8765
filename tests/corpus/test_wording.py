"""Questions in other words: the numbers stay, people keep their pronouns, and what would read oddly stays as it is."""

import random
import re

import pytest

from fef.corpus.implied import spoken_numbers
from fef.corpus.inventory import NAMES
from fef.corpus.numerals import numerals, split
from fef.corpus.tidy import tidy
from fef.corpus.wording import (
    reworded,
    with_condition,
    with_condition_elsewhere,
    with_other_names,
    with_other_things,
    with_sentences_joined,
)

QUESTIONS = (
    "Rachel bought 3 apples and five pears for $2 each. She gave Kevin 4 apples. If she buys 12 more, how many "
    "does Rachel have in total?",
    "Todd earns $15 an hour. He works 8 hours each day. How much money does Todd earn in two weeks?",
    "There are 24 kids on a bus, twice as many as yesterday. Half of the kids are girls. How many girls are left?",
    "Wendy has 7 marbles. Kyle has three times as many marbles as Wendy. How many marbles do they have altogether?",
)


def values(text: str) -> list[object]:
    """What the numbers of a text are worth, in digits or in words."""
    return sorted({numeral.value for numeral in numerals(split(text))} | spoken_numbers(text))


@pytest.mark.parametrize("question", QUESTIONS)
def test_numbers_stay_and_wordings_differ(question: str) -> None:
    found = {reworded(question, random.Random(seed)) for seed in range(60)}
    assert len(found) > 8
    assert all(values(other) == values(question) for other in found)


def test_names_change_with_their_pronouns_everywhere() -> None:
    for seed in range(30):
        text = with_other_names(QUESTIONS[0], random.Random(seed))
        names = [name for name in re.findall(r"\b[A-Z][a-z]+\b", text) if name in NAMES]
        assert names[0] == names[-1] != "Rachel"
        assert NAMES[names[0]][0] == "she"
        assert NAMES[names[1]][0] == "he"


@pytest.mark.parametrize(
    "text",
    [
        "Kevin Jones has 5 pens.",
        "Uncle Kevin has 5 pens.",
        "Kevin-Lee has 5 pens.",
        "Mark will mark 5 pages.",
        "Zorblatt has 5 pens.",
        "Kevin has K pens.",
    ],
)
def test_other_names_stay(text: str) -> None:
    assert all(with_other_names(text, random.Random(seed)) == text for seed in range(10))


@pytest.mark.parametrize(
    "text", ["He eats 3 apple pies and 2 apples.", "He has 3 apples and an apple tree.", "7 hammers"]
)
def test_things_in_compounds_and_of_no_kind_stay(text: str) -> None:
    assert all(with_other_things(text, random.Random(seed)) == text for seed in range(10))


def test_things_change_to_others_of_their_kind() -> None:
    text = "He has 3 marbles. Each marble costs $2. How many marbles are that?"
    found = {with_other_things(text, random.Random(seed)) for seed in range(20)}
    assert found == {text.replace("marble", "bead"), text.replace("marble", "button")}


def test_a_condition_moves_to_the_end_and_back() -> None:
    start = "Kyle has 5 bags. If Kyle eats 3 figs, how many are left?"
    end = "Kyle has 5 bags. How many are left if Kyle eats 3 figs?"
    rng = random.Random(0)
    assert with_condition_elsewhere(start, rng) == end
    assert with_condition_elsewhere(end, rng) == start
    unknown = "There are 5 bags. If Kyle eats 3 figs, how many does he have?"
    assert with_condition_elsewhere(unknown, rng) == unknown


def test_two_sentences_are_joined_and_parted() -> None:
    parted = "Kyle has 5 figs. He buys 3 more. How many?"
    joined = "Kyle has 5 figs, and he buys 3 more. How many?"
    assert {with_sentences_joined(parted, random.Random(seed)) for seed in range(20)} == {parted, joined}
    assert {with_sentences_joined(joined, random.Random(seed)) for seed in range(20)} == {parted, joined}


def test_questions_without_capitals_get_them() -> None:
    assert tidy("rachel has 3 pens. i have a pen of rachel 's friend bill.") == (
        "Rachel has 3 pens. I have a pen of Rachel 's friend bill."
    )
    assert tidy("Bill has rachel.") == "Bill has rachel."


@pytest.mark.parametrize(
    ("question", "wordings"),
    [
        ("Ada has 3 pens. Ben has 5. How many do they have?", set()),  # Ben is nowhere else
        (
            "Ada has 3 pens. Ben has 5 more pens. How many pens does Ben have?",
            {
                "If Ben has 5 more pens, how many pens does Ben have?",
                "How many pens does Ben have if Ben has 5 more pens?",
            },
        ),
        (
            "Ada has 30 pens. She sold 5 of them. How many are left?",
            {"If she sold 5 of them, how many are left?", "How many are left if she sold 5 of them?"},
        ),
        (
            "A car goes 30 miles an hour. The trip takes 2 hours. How many miles is that?",
            {"If the trip takes 2 hours, how many miles is that?", "How many miles is that if the trip takes 2 hours?"},
        ),
    ],
)
def test_the_last_fact_can_be_a_condition(question: str, wordings: set[str]) -> None:
    story = question.split(". ")[0]
    found = {with_condition(question, random.Random(seed)) for seed in range(60)}
    assert found == {question} | {f"{story}. {wording}" for wording in wordings}


@pytest.mark.parametrize(
    "question",
    [
        "Ada has 3 pens. It is 15 degrees outside. How many pens does Ada have?",
        "Ada has 3 pens. Now, she gets 5 more. How many pens does Ada have?",
        "Ada has 3 pens. Then 5 were lost. How many pens does Ada have?",
        "Ada has 30 dollars. She earns $5. How many pens can she buy if one costs $5?",
        "Ada has 3 pens. She gets 5 more. What does she have?",
        "Ada has 3 pens. How many pens does Ada have?",
    ],
)
def test_what_would_be_no_condition_stays(question: str) -> None:
    assert {with_condition(question, random.Random(seed)) for seed in range(60)} == {question}
