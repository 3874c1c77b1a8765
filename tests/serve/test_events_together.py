"""Events that were not written yet: tokens of several rounds become one text, and nothing else changes."""

from __future__ import annotations

import asyncio

import pytest

from fef.decoding.certificate import Certificate
from fef.serve.answer import Heard, together
from fef.serve.backend import HungUp, Ticket
from fef.serve.letters import Event, NewTokens, NextSpan, Over, Wanted

NEXT = NextSpan(Certificate("chain", "a law", ()))


def ticket() -> Ticket:
    return Ticket(Wanted([], [], [], {}, True, False), asyncio.Queue())


def tokens(*places: int) -> NewTokens:
    return NewTokens([(place, (100 + place, -0.5)) for place in places], {place: [(place, -0.1)] for place in places})


def test_tokens_behind_tokens_of_the_same_choice_are_one_event() -> None:
    one, other = ticket(), ticket()
    heard: list[Heard] = [
        (one, tokens(0, 1)),
        (other, tokens(0)),
        (one, tokens(2)),
        (other, tokens(1, 2)),
        (one, tokens(3)),
    ]
    assert together(heard) == [(one, tokens(0, 1, 2, 3)), (other, tokens(0, 1, 2))]


@pytest.mark.parametrize("between", [NEXT, HungUp(), Over(None, None)], ids=lambda event: type(event).__name__)
def test_no_token_comes_before_or_behind_another_event(between: Event | HungUp) -> None:
    one = ticket()
    heard: list[Heard] = [(one, tokens(0)), (one, between), (one, tokens(1)), (one, tokens(2))]
    assert together(heard) == [(one, tokens(0)), (one, between), (one, tokens(1, 2))]


def test_a_single_event_is_itself() -> None:
    assert together([]) == []
    event = tokens(5)
    [(_, found)] = together([(None, event)])
    assert found is event
