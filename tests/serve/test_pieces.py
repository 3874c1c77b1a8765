"""Pieces of text are never taken back, and add up to the same text however the tokens came."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.serve.pieces import TextPieces, first_stop, held_for_stops

END = 256


def decode(ids: Sequence[int]) -> str:
    """Tokens that are bytes."""
    return bytes(ids).decode("utf-8", "replace")


def put_together(ids: list[int], cuts: Sequence[int], stops: Sequence[str] = (), **options: bool) -> TextPieces:
    """Feed tokens in groups; `.text` is what the pieces add up to."""
    pieces = TextPieces(decode, range(10, 10 + len(ids)), [END], stops, tokens=True, **options)
    told = [(10 + i, (token, -1.0)) for i, token in enumerate(ids)]
    text, tokens, finished = "", [], 0
    bounds = [0, *sorted(cuts), len(ids)]
    for start, stop in pairwise(bounds):
        piece = pieces.add(told[start:stop])
        if piece is not None:
            assert not finished
            text, tokens, finished = text + piece.text, tokens + piece.tokens, finished + (piece.finish is not None)
    assert finished == 1
    pieces.text, pieces.tokens = text, [token.id for token in tokens]  # type: ignore[attr-defined]
    return pieces


def cut_at_first(text: str, stops: Sequence[str]) -> str:
    """By reading one character after the other."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@given(st.data())
def test_the_text_is_that_of_reading_it_character_by_character(data: st.DataObject) -> None:
    text = data.draw(st.text("abé🙂", max_size=20))
    stops = data.draw(st.lists(st.text("abé", min_size=1, max_size=4), max_size=3))
    ids = [*text.encode(), END]
    cuts = data.draw(st.lists(st.integers(0, len(ids)), max_size=6))
    found = put_together(ids, cuts, stops)
    assert found.text == cut_at_first(text, stops)  # type: ignore[attr-defined]


@given(st.data())
def test_counts_and_tokens_do_not_depend_on_the_rounds(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.sampled_from([97, 98, 0xC3, 0xA9, END]), min_size=1, max_size=16))
    stops = data.draw(st.lists(st.text("abé", min_size=1, max_size=3), max_size=2))
    cuts = data.draw(st.lists(st.integers(0, len(ids)), max_size=6))
    one, other = put_together(ids, [], stops), put_together(ids, cuts, stops)
    for name in ("text", "tokens", "counted", "logprobs", "finish"):
        assert getattr(one, name) == getattr(other, name), name


def test_a_position_that_is_open_holds_back_what_stands_behind_it() -> None:
    pieces = TextPieces(decode, range(3), [END])
    assert pieces.add([(2, (ord("c"), 0.0)), (1, (ord("b"), 0.0))]) is None
    piece = pieces.add([(0, (ord("a"), 0.0))])
    assert piece is not None and (piece.text, piece.finish) == ("abc", "length")


def test_the_last_piece_is_not_empty() -> None:
    dice = random.Random(0)
    for _ in range(50):
        ids = [*b"some words", END]
        pieces = TextPieces(decode, range(len(ids)), [END], ["zz"])
        last, at = None, 0
        while pieces.finish is None:
            step = dice.randint(1, 4)
            last = pieces.add([(i, (ids[i], 0.0)) for i in range(at, min(at + step, len(ids)))])
            at += step
        assert last is not None and last.text


@pytest.mark.parametrize(
    ("rounds", "told"),
    [
        (["a", "b", "c", END], ["a", "b", "c"]),  # the second one waits for the third
        ([" ", "ab", END], [" ", "a", "b"]),
        (["ab", "c", END], ["a", "b", "c"]),
        (["a", END], ["a", ""]),
        (["\xc3", "\xa9", "a", END], ["\u00e9", "a"]),
        (["z", "z", "y", END], ["zz", "y"]),  # may begin the stop string
    ],
)
def test_the_first_character_is_told_at_once(rounds: list[str | int], told: list[str]) -> None:
    ids = [[each] if isinstance(each, int) else list(each.encode("latin-1")) for each in rounds]
    pieces, found, at = TextPieces(decode, range(9), [END], ["zzx"]), [], 0
    for new in ids:
        piece = pieces.add([(at + i, (token, 0.0)) for i, token in enumerate(new)])
        at += len(new)
        found += [piece.text] if piece is not None else []
    assert found == told


@pytest.mark.parametrize(("keep", "text"), [(False, "one "), (True, "one two")])
def test_a_stop_string_is_left_out_unless_it_is_asked_for(keep: bool, text: str) -> None:
    assert put_together([*b"one two three"], [2, 5, 6], ["two"], keep_stop=keep).text == text  # type: ignore[attr-defined]


def test_of_stops_that_are_complete_the_one_that_ends_first_counts() -> None:
    assert first_stop("xabcde", ["abcde", "bc"]) == range(2, 4)
    assert first_stop("xabc", ["bc", "abc"]) == range(1, 4)
    assert first_stop("xabc", ["z"]) is None


def test_what_may_begin_a_stop_is_held() -> None:
    assert held_for_stops("hello\nUs", ["\nUser:", "stop"]) == 3
    assert held_for_stops("hello", ["\nUser:"]) == 0
    assert held_for_stops("aab", ["abc", "aabd"]) == 3
