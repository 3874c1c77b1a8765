"""One rule for numbers: whole and real numbers of any library, booleans of none."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

import fef
from fef.readers import check_text, parse_value, real, several, shown, token_ids, whole, whole_from

FOURS = [4, np.int64(4), np.uint8(4), np.array(4), torch.tensor(4), torch.tensor(4, dtype=torch.uint8)]
HALVES = [
    0.5,
    np.float32(0.5),
    np.array(0.5),
    torch.tensor(0.5),
    torch.tensor(0.5).half(),
    Fraction(1, 2),
    Decimal("0.5"),
]
BOOLEANS = [True, False, np.True_, np.array(True), torch.tensor(True)]
NO_NUMBERS = ["4", b"4", None, [4], np.array([4]), torch.tensor([4]), 4j, torch.tensor(4j), {}, object()]
NO_NUMBERS += [torch.empty((), dtype=torch.int64, device="meta")]


@pytest.mark.parametrize("value", FOURS)
def test_whole_numbers_of_any_library(value):
    assert whole(value) == real(value) == 4
    assert type(whole(value)) is int


@pytest.mark.parametrize("value", HALVES)
def test_real_numbers_of_any_library(value):
    assert real(value) == 0.5
    assert whole(value) is None


@pytest.mark.parametrize("value", [*BOOLEANS, *NO_NUMBERS])
def test_booleans_and_other_things_are_no_numbers(value):
    assert whole(value) is None
    assert real(value) is None


def test_whole_floats_are_no_whole_numbers_and_huge_ones_no_floats():
    assert whole(2.0) is None
    assert whole(10**400) == 10**400
    assert real(10**400) is None


def test_several_values_are_items_of_a_sequence_an_array_or_a_tensor():
    for values in ([1, 2], (1, 2), range(1, 3), np.array([1, 2]), torch.tensor([1, 2])):
        assert several(values) == [1, 2]
    for value in (1, "12", b"12", np.array(1), torch.tensor(1), None, torch.ones(2, device="meta")):
        assert several(value) is None


def test_a_value_is_shown_in_one_short_line_whatever_it_is():
    for value in (10**5000, "x" * 5000, torch.zeros(9, 9)):
        assert len(shown(value)) <= 60
        assert "\n" not in shown(value)


def test_a_whole_number_outside_its_range_is_refused_by_name():
    assert whole_from("points", np.int8(2), 2) == 2
    with pytest.raises(fef.OptionError, match=r"points=1 must be a whole number of at least 2\."):
        whole_from("points", 1, 2)
    with pytest.raises(fef.InputError, match=r"points=9 must .* at least 2 and at most 8\."):
        whole_from("points", 9, 2, 8, fef.InputError)


def test_token_ids_of_any_collection():
    for values in ([1, 2], {1, 2}, np.array([1, 2]), torch.tensor([1, 2]), (i for i in (1, 2))):
        assert sorted(token_ids("banned", values)) == [1, 2]
    for values in (3, None, "12", torch.tensor(3), [True], [2**63], [-1], [[1]], [1.0]):
        with pytest.raises(fef.OptionError, match="banned"):
            token_ids("banned", values)


def test_text_that_utf8_cannot_hold_is_refused():
    assert check_text("prompt", "\N{GRINNING FACE}") == "\N{GRINNING FACE}"
    for value in ("a\ud83d b", "\udc80", 3, None, b"x"):
        with pytest.raises(fef.InputError, match="The prompt"):
            check_text("prompt", value)


@pytest.mark.parametrize(("text", "value"), [("8", 8), ("0.5", 0.5), ("True", True), ("none", None), ("rows", "rows")])
def test_words_are_read_as_what_they_look_like(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)
