"""What is read from answers: golden cases, every reference answer, and the harness's own extraction as a second opinion."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.eval.datasets import read_examples
from fef.eval.letters import chosen_letter
from fef.eval.mathematics import final_expression, normal_form, same_expression
from fef.eval.numbers import final_number, same_number
from fef.eval.tasks import TASKS

NUMBERS = {
    "16 - 3 - 4 = 9, 9 * 2 = 18\n#### 18": "18",
    "#### 3\n5 more\n#### 1,234.50 dollars": "1234.50",
    "#### $-7": "-7",
    "So \\boxed{42} and not 43": "42",
    "So \\boxed{\\$42.5}": "42.5",
    "The answer is **12** because 3 * 4": "12",
    "The answer is: $1,000. It took 3 steps.": "1000",
    "There are 3 of 10, hence .5": ".5",
    "no number": None,
    "": None,
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_final_number(text: str, number: str | None) -> None:
    assert final_number(text) == number


@given(
    st.decimals(-(10**9), 10**9, places=2), st.sampled_from(["#### {}", "The answer is {}.", "= {}", "\\boxed{{{}}}"])
)
def test_a_number_is_found_in_any_form(value, form) -> None:
    assert same_number(final_number(form.format(f"{value:,}")), str(value))
    assert not same_number(final_number(form.format(f"{value:,}")), str(value + 1))


def test_gsm8k_references_are_right_and_their_neighbours_wrong(reference: Path) -> None:
    task = TASKS["gsm8k"]
    for example in read_examples(reference / task.file, task.fields):
        reply = task.answer(example)
        assert "<<" not in reply
        assert task.score(example, reply).right
        number = reply.rpartition("#### ")[2].replace(",", "")
        # the last number by the harness's own pattern (flexible-extract)
        last = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", reply)[-1]
        assert same_number((last[0] or last[1]).replace(",", ""), number)
        assert not task.score(example, f"{reply}\n#### {int(number) + 1}").right


SAME = [
    ("\\frac{1}{2}", "\\dfrac12"),
    ("1/2", "\\frac{1}{2}"),
    ("0.5", "\\frac{1}{2}"),
    (".5", "0.50"),
    ("-\\frac{3}{4}", "\\frac{-3}{4}"),
    ("x=5", "5"),
    ("f(x) = 2x", "2x"),
    ("10,080", "10080"),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})"),
    ("\\text{Evelyn}", "Evelyn"),
    ("\\text{(C)}", "C"),
    ("90^\\circ", "90"),
    ("15\\mbox{ cm}^2", "15"),
    ("\\$18.90", "18.90"),
    ("25\\%", "25"),
    ("\\sqrt2", "\\sqrt{2}"),
    ("3 \\leq x", "3\\le x"),
    ("\\begin{pmatrix} -2 \\\\ -14 \\end{pmatrix}", "\\begin{pmatrix}-2\\\\-14\\end{pmatrix}"),
]
DIFFERENT = [
    ("\\frac{1}{2}", "\\frac{2}{1}"),
    ("12", "1 + 2"),
    ("-3", "3"),
    ("(3, 4)", "(4, 3)"),
    ("(1,234)", "1234"),
    ("2^{10}", "210"),
    ("x^2", "x2"),
    ("\\sqrt{2}", "2"),
    ("\\frac{1}{0}", "1"),
    ("\\begin{pmatrix} -2 \\\\ -14 \\end{pmatrix}", "\\begin{pmatrix} -2-14 \\end{pmatrix}"),
    ("5", ""),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_same_expressions(first: str, second: str) -> None:
    assert same_expression(first, second)
    assert same_expression(second, first)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_expressions(first: str, second: str) -> None:
    assert not same_expression(first, second)


@given(st.integers(-99, 99), st.integers(1, 99), st.integers(-99, 99), st.integers(1, 99))
def test_fractions_are_compared_by_value(a: int, b: int, c: int, d: int) -> None:
    assert same_expression(f"\\frac{{{a}}}{{{b}}}", f"{c}/{d}") == (Fraction(a, b) == Fraction(c, d))


@given(st.text(alphabet="\\frac{}()12x^ ,.", max_size=20))
def test_the_normal_form_is_reached_for_any_text(text: str) -> None:
    assert same_expression(text, text)
    normal_form(normal_form(text))


def test_final_expression() -> None:
    assert final_expression("so \\boxed{1} or \\boxed{\\frac{1}{x_{2}}}.") == "\\frac{1}{x_{2}}"
    assert final_expression("The final answer is $x = 3$. I hope it is correct.") == "$x = 3$"
    assert final_expression("Thus $a$ and then $b + 1$ follow") == "b + 1"
    assert final_expression("\\boxed{never closed") is None
    assert final_expression("nothing") is None


def test_math_references_are_right_and_each_others_answers_wrong(reference: Path) -> None:
    task = TASKS["math"]
    examples = read_examples(reference / task.file, task.fields)
    assert all(task.score(e, f"Hence $\\boxed{{{e['answer']}}}$.").right for e in examples)
    for one, other in pairwise(examples):
        if task.score(one, f"\\boxed{{{other['answer']}}}").right:
            assert re.findall(r"\d", one["answer"]) == re.findall(r"\d", other["answer"])


def test_math_agrees_with_the_harness_on_all_pairs_of_references(reference: Path) -> None:
    theirs = pytest.importorskip("lm_eval.tasks.hendrycks_math.utils", reason="lm-eval is not installed (extra eval)")
    answers = sorted({e["answer"] for e in read_examples(reference / "math500.jsonl", ["answer"])})
    pairs = [(a, b) for a, b in combinations(answers, 2) if same_expression(a, b) != theirs.is_equiv(a, b)]
    assert pairs == [("10,\\!080", "10080"), ("15", "15\\mbox{ cm}^2")]


LETTERS = {
    "B": "B",
    " C.": "C",
    "(D)": "D",
    "The answer is (A) because B is wrong": "A",
    "Answer: b": "B",
    "Both are wrong": None,
    "": None,
}


@pytest.mark.parametrize(("text", "letter"), LETTERS.items())
def test_chosen_letter(text: str, letter: str | None) -> None:
    assert chosen_letter(text) == letter
