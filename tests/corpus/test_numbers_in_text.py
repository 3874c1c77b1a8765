"""Numbers in texts and arithmetic expressions, against Python's own."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.corpus.expressions import evaluate, parse
from fef.corpus.implied import implied_numbers, spoken_numbers
from fef.corpus.numerals import numerals, render, split


@given(st.text(alphabet="0123456789., $%ab:/-", max_size=40), st.booleans())
def test_a_text_with_its_own_numbers_is_the_same_text(text: str, grouped: bool) -> None:
    pieces = split(text, grouped)
    assert render(pieces, {n.value: n.value for n in numerals(pieces)}) == text


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [
        ("$1.50 each", Fraction(2), "$2.00 each"),
        ("$ 1.25 each", Fraction(3, 2), "$ 1.50 each"),
        ("1.25 kg", Fraction(3, 2), "1.5 kg"),
        (".5 of it", Fraction(1, 4), ".25 of it"),
        ("0.5 of it", Fraction(1, 4), "0.25 of it"),
        ("1,200 men", 900, "900 men"),
        ("1,200 men", 15000, "15,000 men"),
        ("1200 men", 15000, "15000 men"),
        ("At 6:00 there were 6.", 7, "At 7:00 there were 7."),
    ],
)
def test_another_number_is_written_in_the_manner_of_the_first(text: str, new: int | Fraction, expected: str) -> None:
    assert render(split(text), {split_value(text): new}) == expected


def split_value(text: str) -> int | Fraction:
    (value,) = {numeral.value for numeral in numerals(split(text))}
    return value


def nested() -> st.SearchStrategy[str]:
    numbers = st.one_of(st.integers(0, 999).map(str), st.decimals(0, 99, places=2).map(str))
    return st.recursive(
        numbers, lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
    )


@given(nested())
def test_expressions_give_what_python_gives(text: str) -> None:
    expression = parse(text)
    assert expression is not None
    try:
        expected = eval(text)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            evaluate(expression)
    else:
        # what floats make of a denominator near zero is no reference
        if abs(expected) < 1e6:
            assert float(evaluate(expression)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "value"), [("50*20%", 10), ("16-3-4", 9), ("48/2/3", 8), ("007+1", 8), (".5*1,200", 600)]
)
def test_marks_read_as_a_person_reads_them(text: str, value: int) -> None:
    expression = parse(text)
    assert expression is not None
    assert evaluate(expression) == value


@pytest.mark.parametrize("text", ["", "x+1", "2**3", "1+", "f(2)", "2 // 3", "\u00d7", "1 and 2", "'a'"])
def test_what_is_no_sum_is_no_expression(text: str) -> None:
    assert parse(text) is None


def test_words_say_and_imply_numbers() -> None:
    assert {3, 2, 12} <= spoken_numbers("Three pairs, and a dozen")
    assert {60, 7} <= implied_numbers("minutes of a week")
    assert 100 in implied_numbers("20% off")
    assert not spoken_numbers("apples") | implied_numbers("apples")
