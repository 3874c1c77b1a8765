"""The engine as the routes know it: they hand requests over without waiting, and letters are handed out on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, TypeVar

from fef.errors import EngineError, FefError
from fef.generation import Model
from fef.serve.errors import ApiError
from fef.serve.hosts import Host
from fef.serve.inbox import Inbox, Ticket
from fef.serve.letters import Call, Cancel, Event, Letter, Lost, NextSpan, Over, Refused, Settled, Submit, Times

__all__ = ["Backend"]

T = TypeVar("T")
_AT_ONCE = 8  # readers that are woken in one turn of the event loop


@dataclass
class Backend:
    """host: where the engine works. on_lost: called on the event loop once it is gone. All is for that loop."""

    host: Host
    on_lost: Callable[[], None]
    tickets: dict[int, Ticket] = field(default_factory=dict)  # that are not over
    calls: dict[int, asyncio.Future[Any]] = field(default_factory=dict)  # that somebody waits for
    unread: dict[Inbox, None] = field(default_factory=dict)  # whose readers are not woken yet, the longest first
    waking: bool = False  # is somebody's turn still to come?
    lost: bool = False
    ended: bool = False  # nothing is answered any more
    started: bool = False

    def start(self) -> None:
        """Begin to work, for the event loop that runs now."""
        self.loop, self.numbers, self.started = asyncio.get_running_loop(), count(), True
        self.host.start(self.loop, self.deliver)

    def submit(self, ticket: Ticket) -> None:
        """Hand a request over; never waits. Raises ApiError once it has ended."""
        self.check_alive()
        ticket.number = next(self.numbers)
        self.tickets[ticket.number] = ticket
        self.host.send(Submit(ticket.number, ticket.wanted))

    def cancel(self, ticket: Ticket) -> None:
        """Give a request up; its seat is free for the next round."""
        if self.tickets.pop(ticket.number, None) is not None:
            self.host.send(Cancel(ticket.number))

    async def run(self, function: Callable[[Model], T]) -> T:
        """Call a function that uses the network, between two rounds; one that can be pickled, if the engine has a process of
        its own. Raises what it raises, and ApiError once it has ended."""
        self.check_alive()
        number = next(self.numbers)
        done = self.calls[number] = self.loop.create_future()
        try:
            self.host.send(Call(number, function))
            found: T = await done
            return found
        finally:
            if self.calls.pop(number, None) is not None and not self.ended:
                self.host.send(Cancel(number))

    def check_alive(self) -> None:
        if self.ended:
            raise ApiError(503, "The server is ending.")

    def stop(self) -> None:
        """End the engine, and wait for its round; requests that are not over are dropped."""
        self.host.stop()

    @property
    def running(self) -> int:
        """Requests that have a seat."""
        return sum(ticket.running for ticket in self.tickets.values())

    @property
    def waiting(self) -> int:
        return len(self.tickets) - self.running

    def deliver(self, letter: Letter | Lost | None) -> None:
        """Hand out a letter. None: the engine has gone without a word."""
        if letter is None or isinstance(letter, Lost):
            self.declare_lost(EngineError("The engine's process has ended.") if letter is None else letter.error)
            return
        for number, event in letter:
            if isinstance(event, Settled):
                self.settle(number, event)
            elif (ticket := self.tickets.get(number)) is not None:
                self.tell(ticket, event)
        if not self.waking:
            self.wake()

    def wake(self) -> None:
        """Let a few readers write what is new, and others once whoever asks meanwhile has had a turn: a letter is news for
        all streams at once, and a request must not wait until all of them are written."""
        for inbox in list(islice(self.unread, _AT_ONCE)):
            del self.unread[inbox]
            inbox.wake()
        self.waking = bool(self.unread)
        if self.waking:
            self.loop.call_soon(self.wake)

    def tell(self, ticket: Ticket, event: Event) -> None:
        """What nobody waits for any more is dropped before."""
        if isinstance(event, Times):
            ticket.times = event
            return
        if isinstance(event, Over | Refused):
            del self.tickets[ticket.number]
        elif isinstance(event, NextSpan):
            ticket.first_times = ticket.first_times or ticket.times
            ticket.times = None  # it waits for a seat again
        ticket.inbox.put(ticket, event)
        self.unread[ticket.inbox] = None

    def settle(self, number: int, event: Settled) -> None:
        done = self.calls.pop(number, None)
        if done is None or done.done():
            return
        if event.error is None:
            done.set_result(event.result)
        else:
            done.set_exception(event.error)

    def declare_lost(self, error: FefError) -> None:
        if self.lost:
            return
        self.lost = True
        self.end(error)
        self.on_lost()

    def end(self, error: FefError) -> None:
        """Answer all that is not over with this error, and take nothing more."""
        self.ended = True
        self.deliver([(number, Over(None, error)) for number in list(self.tickets)])
        self.deliver([(number, Settled(None, ApiError(503, str(error)))) for number in list(self.calls)])
