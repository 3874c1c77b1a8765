"""The price of a round in the rows law, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fef
from fef.laws.row_costs import RowCosts, RowsRound

COSTS = RowCosts("n", "d", "float32", 9, (1, 2, 4), (10.0, 12.0, 20.0), acceptance=0.5)


@pytest.mark.parametrize(("rows", "found"), [(0, 0), (1, 10), (2, 12), (3, 16), (4, 20), (8, 40), (17, 85)])
def test_linear_between_measured_numbers_and_in_proportion_behind_them(rows, found):
    assert COSTS.of(rows) == pytest.approx(found)


@pytest.mark.parametrize(
    ("round_", "rows", "tokens", "milliseconds", "speed"),
    [
        (RowsRound(1, True), 2, 1.5, 12, 1.25),
        (RowsRound(2, True), 3, 1.75, 16, 17.5 / 16),
        (RowsRound(3, True), 4, 1.875, 20, 18.75 / 20),
        (RowsRound(2, False), 2, 1.5, 12, 1.25),
        (RowsRound(2, True, fresh=True), 2, 2.5, 22, 25 / 22),  # the drafting pass makes the first target
        (RowsRound(1, False, fresh=True), 0, 1, 10, 1),  # and here nothing is left to verify
        (RowsRound(1, True, requests=2), 4, 1.5, 20, 18 / 20),  # one token per pass of two requests: 12 ms
    ],
)
def test_rounds_by_hand(round_, rows, tokens, milliseconds, speed):
    assert (round_.rows, round_.tokens(0.5)) == (rows, pytest.approx(tokens))
    assert round_.milliseconds(COSTS) == pytest.approx(milliseconds)
    assert round_.speed(COSTS) == pytest.approx(speed)


def test_the_acceptance_can_be_given():
    assert RowsRound(3, True).speed(COSTS, 1.0) == pytest.approx(4 * 10 / 20)
    assert RowsRound(3, True).speed(replace(COSTS, acceptance=1.0)) == pytest.approx(2)


@given(
    st.lists(st.floats(1, 100), min_size=4, max_size=4),
    st.lists(st.floats(0.05, 1), min_size=4, max_size=4),
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
    st.floats(0, 1),
)
def test_cheaper_passes_of_many_sequences_never_make_it_slower(times, factors, window, bonus, fresh, acceptance):
    """One sequence costs the same in both tables: it is the price of one token per pass, too."""
    dear = RowCosts("n", "d", "float32", 9, (1, 2, 4, 8, 16), (10.0, *times), acceptance)
    cheap = replace(dear, milliseconds=(10.0, *(t * f for t, f in zip(times, factors, strict=True))))
    round_ = RowsRound(window, bonus, fresh)
    assert round_.speed(cheap) >= round_.speed(dear) * (1 - 1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": (2, 4, 8)},
        {"rows": (1, 4, 2)},
        {"rows": (1, 2.5, 4)},
        {"rows": ()},
        {"milliseconds": (1.0, 2.0)},
        {"milliseconds": (1.0, 2.0, 0.0)},
        {"milliseconds": (1.0, 2.0, float("nan"))},
        {"acceptance": 1.5},
    ],
)
def test_what_is_no_table_is_refused(wrong):
    with pytest.raises(fef.OptionError, match=next(iter(wrong))):
        replace(COSTS, **wrong)
