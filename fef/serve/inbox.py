"""What the event loop holds of a request: its ticket, and its events until somebody reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fef.serve.letters import Event, NewTokens, Times, Wanted

__all__ = ["Heard", "HungUp", "Inbox", "Ticket", "together"]


@dataclass(frozen=True)
class HungUp:
    """Nobody waits for the answer any more."""


class Inbox:
    """Events of the requests of one answer, in their order, for its one reader."""

    def __init__(self) -> None:
        self.unread: list[Heard] = []
        self.reader: asyncio.Future[None] | None = None  # while it waits

    def put(self, ticket: Ticket | None, event: Event | HungUp) -> None:
        """Without waking the reader."""
        self.unread.append((ticket, event))

    def wake(self) -> None:
        """Let the reader go on, if it waits and there is something to read."""
        if self.unread and self.reader is not None and not self.reader.done():
            self.reader.set_result(None)

    async def read(self) -> list[Heard]:
        """All that is here, after waiting for something."""
        while not self.unread:
            self.reader = asyncio.get_running_loop().create_future()
            await self.reader
        found, self.unread = self.unread, []
        return together(found)


@dataclass(eq=False)
class Ticket:
    """A request, as the event loop holds it. inbox: where its events go."""

    wanted: Wanted
    inbox: Inbox
    number: int = -1  # once it was handed over
    times: Times | None = None  # once it has a seat
    first_times: Times | None = None  # of its first span, once that is full

    @property
    def running(self) -> bool:
        return self.times is not None


Heard = tuple[Ticket | None, Event | HungUp]
"""An event, and of which request; hanging up is all of theirs."""


def together(heard: Sequence[Heard]) -> list[Heard]:
    """The same events, but tokens directly behind others of their request come with these: who is slower than rounds writes
    one text for several."""
    if len(heard) == 1:
        return list(heard)
    found: list[Heard] = []
    last: dict[Ticket | None, int] = {}  # event of each
    for ticket, event in heard:
        before = found[last[ticket]][1] if ticket in last else None
        if isinstance(before, NewTokens) and isinstance(event, NewTokens):
            tokens = NewTokens([*before.committed, *event.committed], {**before.likeliest, **event.likeliest})
            found[last[ticket]] = ticket, tokens
        else:
            last[ticket] = len(found)
            found.append((ticket, event))
    return found
