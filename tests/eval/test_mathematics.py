"""Final expressions of MATH, and which are the same: examples, every reference answer, and the harness's own judgement."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.eval.mathematics import final_expression, normal_form, same_expression
from fef.eval.tasks import TASKS

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
    ("32{,}000", "32000"),
    ("-32{,}000", "\u221232000"),
    ("\\{2{,}000, 3\\}", "\\{2000,3\\}"),
    ("x = 10,\\!080", "10080"),
    ("9\\,500", "9500"),
    ("\\text{18 dollars}", "18"),
    ("60\\text{ miles per hour}", "60"),
    ("\\sqrt[3]2", "\\sqrt[3]{2}"),
    ("\\sqrt[n]\\frac12", "\\sqrt[n]{\\frac{1}{2}}"),
    ("\\sqrt\\pi", "\\sqrt{\\pi}"),
    ("\\frac{\\sqrt{3}}2", "\\frac{\\sqrt{3}}{2}"),
    ("\\frac\\pi2", "\\frac{\\pi}{2}"),
    ("\\frac1{\\sqrt2}", "\\frac{1}{\\sqrt{2}}"),
    ("\\pi r^2", "\\pi r^{2}"),
    ("\\binom52", "\\binom{5}{2}"),
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
    ("\\sqrt[3]2", "\\sqrt2"),
    ("\\sqrt[3]2", "\\sqrt[32]{}"),
    ("\\frac{\\sqrt{3}}2", "\\sqrt{\\frac{3}{2}}"),
    ("\\frac{1}{23}", "\\frac{12}{3}"),
    ("\\sqrt{23}", "\\sqrt23"),
    ("x^{12}", "x^12"),
    ("32{,}00", "3200"),
    ("2{,}5", "25"),
    ("5m", "5"),
    ("\\text{monday}", "\\text{male}"),
    ("1e3", "1000"),
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


BOXES = {
    "\\boxed{1} and then \\boxed{2": "1",
    "\\boxed{1} and \\boxed{\\frac{1}{2}, but \\fbox{3} and": "3",
    "\\boxed{\\boxed{3}": "3",
    "\\boxed{\\left\\{ x \\right.}": "\\left\\{ x \\right.",
    "\\boxed {7}": "7",
    "\\boxed{1} or \\boxed{2}": "2",
}


@pytest.mark.parametrize(("text", "content"), BOXES.items())
def test_the_last_box_that_closes_is_read(text: str, content: str) -> None:
    assert final_expression(text) == content


ATOMS = st.sampled_from(["1", "x", "\\pi", "\\alpha"])
TERMS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda ab: f"\\frac{{{ab[0]}}}{{{ab[1]}}}"),
        inner.map(lambda a: f"\\sqrt{{{a}}}"),
        inner.map(lambda a: f"\\sqrt[3]{{{a}}}"),
        inner.map(lambda a: f"x^{{{a}}}"),
        st.tuples(inner, inner).map(lambda ab: f"{ab[0]}+{ab[1]}"),
    ),
    max_leaves=8,
)


@given(TERMS)
def test_braces_around_one_letter_may_be_left_out(term: str) -> None:
    bare = re.sub(r"\{([1x])\}", r" \1", re.sub(r"\{(\\pi|\\alpha)\}", r"\1 ", term))
    assert same_expression(term, bare)
    assert not same_expression(f"\\sqrt{{{term}}}", bare)


@pytest.mark.parametrize("piece", ["^", "{", "\\frac", "\\sqrt[", "x^{", "\\boxed{"])
def test_endless_repetitions_are_read_without_error(piece: str) -> None:
    normal_form(piece * 3000)
    assert same_expression(piece * 100, piece * 100)


def test_math_references_are_right_and_each_others_answers_wrong(reference: Path) -> None:
    task = TASKS["math"]
    examples = task.read(reference / task.file)
    assert len(examples) == 500
    for form in (
        "Hence $\\boxed{{{}}}$.",
        "So \\boxed{{{}}} or \\boxed{{none",
        "The final answer is ${}$. I hope it is correct.",
    ):
        assert [e for e in examples if not task.score(e, form.format(e["answer"])).right] == []
    for one, other in pairwise(examples):
        if task.score(one, f"\\boxed{{{other['answer']}}}").right:
            assert re.findall(r"\d", one["answer"]) == re.findall(r"\d", other["answer"])


def test_math_agrees_with_the_harness_on_all_pairs_of_references(reference: Path) -> None:
    theirs = pytest.importorskip("lm_eval.tasks.hendrycks_math.utils", reason="lm-eval is not installed (extra eval)")
    answers = sorted({e["answer"] for e in TASKS["math"].read(reference / "math500.jsonl")})
    pairs = [(a, b) for a, b in combinations(answers, 2) if same_expression(a, b) != theirs.is_equiv(a, b)]
    assert pairs == [("10,\\!080", "10080"), ("15", "15\\mbox{ cm}^2")]
