"""The chosen letter of a multiple-choice answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.eval.letters import chosen_letter
from fef.eval.tasks import TASKS

LETTERS = "ABCD"
ALONE = {
    "B": "B",
    " C.": "C",
    "(D)": "D",
    "(b)": "B",
    "d": "D",
    "a": "A",
    "a)": "A",
    "**B**": "B",
    "[c]": "C",
    "B. Paris": "B",
    "B\n\nQuestion: Which?\nAnswer: C": "B",
    "": None,
}
STATED = {
    "The answer is (A) because B is wrong": "A",
    "Answer: b": "B",
    "The answer is a.": "A",
    "The answer is B and not C": "B",
    "So the answer is option **(c)**.": "C",
    "The correct option is (d).": "D",
    "I am sure option c is right": "C",
    "I'd say A's wrong; it's C.": "C",
    "Thus $\\boxed{\\text{B}}$ and not A": "B",
    "\\boxed{B} or \\boxed{C": "B",
    "Correct: b": "B",
    "Choice A is incorrect; choice C is correct": "C",
    "I choose A.": "A",
    "A is correct": "A",
    "A and B are wrong, so D.": "D",
    "Eliminate A and B. That leaves C": "C",
    "Not (b), but (c)": "C",
    "C, not B": "C",
}
WORDS = {
    "I would pick B - a safe choice.": "B",
    "A careful reading shows that C is right.": "C",
    "The answer is a matter of sign, so D.": "D",
    "Answer: A careful look says it is (c).": "C",
    "I think so.": None,
    "I'd rather not.": None,
    "A good question.": None,
    "Both are wrong": None,
    "f(a) = b holds": None,
    "in the U.S.A. and e.g. a C-clamp": None,
    "A and B are wrong": None,
    "not B": None,
}
BEYOND = {
    "E": None,
    "The answer is E.": None,
    "(j)": None,
    "The answer is I.": None,
    "I": None,
    "E is wrong, so C.": "C",
}


@pytest.mark.parametrize(("text", "letter"), (ALONE | STATED | WORDS | BEYOND).items())
def test_the_chosen_letter_is_read(text: str, letter: str | None) -> None:
    assert chosen_letter(text, LETTERS) == letter


FORMS = [
    "{}",
    "({})",
    "The answer is {}.",
    "I would pick {} - a safe choice.",
    "A careful look shows that {} is right.",
    "So it is {}.",
]


@given(st.sampled_from("ABCDEFGHIJ"), st.sampled_from(FORMS), st.integers(2, 10))
def test_letters_beyond_the_choices_are_never_read(letter: str, form: str, count: int) -> None:
    letters = "ABCDEFGHIJ"[:count]
    assert chosen_letter(form.format(letter), letters) == (letter if letter in letters else None)


def test_an_item_has_as_many_letters_as_choices() -> None:
    task = TASKS["mmlu"]
    example = {"question": "Which?", "choices": ["no", "no", "yes"], "answer": 2, "subject": "s"}
    assert task.score(example, "C").right
    assert task.score(example, "D").extracted is None
    assert "D." not in task.ask(example)
