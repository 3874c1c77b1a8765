"""Events that were not written yet: tokens of several rounds become one text, and nothing else changes. Readers are woken a
few at a time."""

from __future__ import annotations

import asyncio

import pytest

from fef.decoding.certificate import Certificate
from fef.serve.backend import Backend
from fef.serve.inbox import Heard, HungUp, Inbox, Ticket, together
from fef.serve.letters import Event, NewTokens, NextSpan, Over, Wanted

NEXT = NextSpan(Certificate("chain", "a law", ()))


def ticket() -> Ticket:
    return Ticket(Wanted([], [], [], {}, True, False), Inbox())


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


class SilentHost:
    """Takes commands, and answers nothing."""

    def start(self, loop: asyncio.AbstractEventLoop, deliver: object) -> None: ...

    def send(self, command: object) -> None: ...


def test_a_reader_has_all_that_came_until_it_was_woken() -> None:
    async def read() -> list[list[Heard]]:
        one = ticket()
        reading = asyncio.create_task(one.inbox.read())
        await asyncio.sleep(0)
        one.inbox.wake()  # for nothing
        for place in range(3):
            one.inbox.put(one, tokens(place))
        await asyncio.sleep(0)
        assert not reading.done()
        one.inbox.wake()
        first = await reading
        one.inbox.put(None, HungUp())
        return [first, await one.inbox.read()]

    [[(_, event)], hung_up] = asyncio.run(read())
    assert event == tokens(0, 1, 2)
    assert hung_up == [(None, HungUp())]


@pytest.mark.parametrize("streams", [1, 200])
def test_who_asks_meanwhile_waits_for_a_few_streams_not_for_all(streams: int) -> None:
    async def turns() -> tuple[list[int], list[int]]:
        backend = Backend(SilentHost(), lambda: None)  # type: ignore[arg-type]
        backend.start()
        order: list[int] = []

        async def stream(number: int) -> None:
            await tickets[number].inbox.read()
            order.append(number)

        async def asker() -> None:
            for _ in range(3):
                await asyncio.sleep(0)  # as many turns as a small request takes
            order.append(-1)

        tickets = [ticket() for _ in range(streams)]
        readers = [asyncio.create_task(stream(number)) for number in range(streams)]
        for one in tickets:
            backend.submit(one)
        await asyncio.sleep(0)
        backend.deliver([(one.number, tokens(0)) for one in tickets])
        await asyncio.gather(asyncio.create_task(asker()), *readers)
        return order, sorted(order)

    order, known = asyncio.run(turns())
    assert known == [-1, *range(streams)]
    assert [number for number in order if number >= 0] == list(range(streams)), "the longest first"
    assert order.index(-1) <= 50
