"""The engine on a thread of its own, behind an inbox.

A round holds the engine for as long as it takes, so nobody else may wait for it. The event loop puts commands into a queue;
the thread reads them between rounds, and sends one letter a round with all that is new.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from fef.decoding.certificate import Certificate
from fef.engine.engine import Engine, Job
from fef.engine.requests import EngineResult, Likeliest
from fef.engine.watched import CanvasRound
from fef.errors import EngineError, FefError
from fef.grammar.compiled import TokenGrammar
from fef.serve.errors import ApiError

__all__ = ["Accepted", "Event", "HungUp", "NewTokens", "NextSpan", "Over", "Refused", "Rounds", "Ticket", "Worker"]

T = TypeVar("T")


@dataclass(frozen=True)
class Accepted:
    """The engine has the request. final: its tokens are told as they are committed, since none is taken back."""

    certificate: Certificate
    final: bool


@dataclass(frozen=True)
class Refused:
    """The engine does not take the request."""

    error: FefError


@dataclass(frozen=True)
class NewTokens:
    """By position: token and log p (nats), and the likeliest tokens where they were asked for."""

    committed: Sequence[tuple[int, tuple[int, float]]]
    likeliest: Mapping[int, Likeliest]


@dataclass(frozen=True)
class Rounds:
    """What rounds did to the canvas, of a request that is watched."""

    rounds: Sequence[CanvasRound]


@dataclass(frozen=True)
class NextSpan:
    """A span of a template is full, and the next one has begun."""

    certificate: Certificate


@dataclass(frozen=True)
class Over:
    """The request is done, or has failed. result: of all its spans."""

    result: EngineResult | None
    error: FefError | None


@dataclass(frozen=True)
class HungUp:
    """Nobody waits for the answer any more."""


Event = Accepted | Refused | NewTokens | NextSpan | Rounds | Over | HungUp


@dataclass(eq=False)
class Ticket:
    """A request, as the event loop holds it. spans: places of the canvas that are filled one range after the other, each a
    request to the engine. grammars: of each. events: where its events go, with the ticket."""

    ids: Sequence[int]
    spans: Sequence[range]
    grammars: Sequence[TokenGrammar | None]
    options: dict[str, Any]
    stream: bool
    watch: bool
    events: asyncio.Queue[tuple[Ticket | None, Event]]
    job: Job | None = None  # the thread's: that of the span which runs
    told: int = 0  # tokens of it that were told
    filled: list[EngineResult] = field(default_factory=list)  # spans that are full

    @property
    def running(self) -> bool:
        job = self.job
        return job is not None and job.status == "running"


@dataclass(frozen=True)
class Submit:
    ticket: Ticket


@dataclass(frozen=True)
class Cancel:
    ticket: Ticket


@dataclass(frozen=True)
class Call:
    """Something else to be done with the network, between two rounds."""

    function: Callable[[], Any]
    done: asyncio.Future[Any]


@dataclass(frozen=True)
class Stop:
    pass


def settle(call: Call, result: Any, error: Exception | None) -> None:
    """Tell the one who waits for a call, if he still does."""
    if call.done.done():
        return
    if error is None:
        call.done.set_result(result)
    else:
        call.done.set_exception(error)


@dataclass
class Worker:
    """on_lost: called on the event loop once the engine is gone. All methods but `work` and below are the loop's."""

    engine: Engine
    on_lost: Callable[[], None]
    inbox: SimpleQueue[Submit | Cancel | Call | Stop] = field(default_factory=SimpleQueue)
    tickets: set[Ticket] = field(default_factory=set)  # that are not over
    calls: set[asyncio.Future[Any]] = field(default_factory=set)  # that somebody waits for
    lost: bool = False
    thread: Thread | None = None

    def start(self) -> None:
        """Begin to work, for the event loop that runs now."""
        self.loop = asyncio.get_running_loop()
        self.jobs: dict[Job, Ticket] = {}  # the thread's
        self.asked: deque[Call] = deque()  # the thread's, too: one goes between two rounds
        self.thread = Thread(target=self.work, name="fef-engine", daemon=True)
        self.thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Hand a request over; never waits. Raises ApiError once the engine is lost."""
        self.check_alive()
        self.tickets.add(ticket)
        self.inbox.put(Submit(ticket))

    def cancel(self, ticket: Ticket) -> None:
        """Give a request up; its seat is free for the next round."""
        if ticket in self.tickets:
            self.tickets.discard(ticket)
            self.inbox.put(Cancel(ticket))

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function that uses the network, on the thread, between two rounds. Raises what it raises, and ApiError
        once the engine is lost."""
        self.check_alive()
        call = Call(function, self.loop.create_future())
        self.calls.add(call.done)
        try:
            self.inbox.put(call)
            found: T = await call.done
            return found
        finally:
            self.calls.discard(call.done)

    def check_alive(self) -> None:
        if self.lost:
            raise ApiError(503, "The engine is lost; the server is ending.")

    def stop(self) -> None:
        """End the thread, and wait for its round; requests that are not over are dropped."""
        self.inbox.put(Stop())
        if self.thread is not None:
            self.thread.join()

    @property
    def running(self) -> int:
        """Requests that have a seat."""
        return sum(ticket.running for ticket in self.tickets)

    @property
    def waiting(self) -> int:
        return len(self.tickets) - self.running

    def deliver(self, letter: Sequence[tuple[Ticket, Event]]) -> None:
        """Hand out a letter, on the event loop."""
        for ticket, event in letter:
            if isinstance(event, Over | Refused):
                self.tickets.discard(ticket)
            ticket.events.put_nowait((ticket, event))

    def declare_lost(self, error: FefError) -> None:
        self.lost = True
        self.deliver([(ticket, Over(None, error)) for ticket in list(self.tickets)])
        for done in self.calls:
            if not done.done():
                done.set_exception(ApiError(503, str(error)))
        self.on_lost()

    # --- on the thread ---

    def work(self) -> None:
        try:
            while self.obey():
                if self.engine.busy:
                    self.engine.step()
                self.post(self.news())
        except Exception as error:  # whatever it is, nobody may wait for an engine that is gone
            logging.getLogger(__name__).exception("The engine is lost")
            reason = error if isinstance(error, FefError) else EngineError("The engine failed.")
            self.call(self.declare_lost, reason)

    def obey(self) -> bool:
        """Follow the commands that came, after waiting for one where there is nothing else to do. False: stop."""
        letter: list[tuple[Ticket, Event]] = []
        wait = not self.engine.busy and not self.asked
        try:
            while True:
                command = self.inbox.get(block=wait)
                wait = False
                if isinstance(command, Stop):
                    return False
                if isinstance(command, Submit):
                    letter.append((command.ticket, self.take(command.ticket)))
                elif isinstance(command, Call):
                    self.asked.append(command)
                elif command.ticket.job is not None:
                    self.engine.cancel(command.ticket.job)
                    self.jobs.pop(command.ticket.job, None)
        except Empty:
            self.post(letter)
            self.follow_next()
            return True

    def follow_next(self) -> None:
        """The next call whose caller still waits for it."""
        while self.asked and self.asked[0].done.done():
            self.asked.popleft()
        if not self.asked:
            return
        call = self.asked.popleft()
        try:
            result = call.function()
        except Exception as error:  # it is the caller's
            self.call(settle, call, None, error)
        else:
            self.call(settle, call, result, None)

    def take(self, ticket: Ticket) -> Accepted | Refused:
        """Have the engine begin with the first span that is not full."""
        number = len(ticket.filled)
        ids = list(ticket.ids)
        for span, result in zip(ticket.spans, ticket.filled, strict=False):
            ids[span.start : span.stop] = result.tokens
        try:
            job = self.engine.submit(
                ids,
                ticket.spans[number],
                grammar=ticket.grammars[number],
                stream=ticket.stream,
                watch=ticket.watch,
                **ticket.options,
            )
        except FefError as error:
            if self.engine.lost is not None:
                raise
            return Refused(error)
        except Exception:
            if self.engine.lost is not None:
                raise
            logging.getLogger(__name__).exception("A request could not be taken")
            return Refused(
                EngineError("This request could not be taken, for a fault of the server; its log says more.")
            )
        ticket.job, ticket.told = job, 0
        self.jobs[job] = ticket
        return Accepted(job.certificate, job.request.plan.final)

    def news(self) -> list[tuple[Ticket, Event]]:
        """What the round brought."""
        letter: list[tuple[Ticket, Event]] = []
        for job, ticket in list(self.jobs.items()):
            if job.watched is not None and (rounds := job.watched.take()):
                letter.append((ticket, Rounds(rounds)))
            if job.finished:
                del self.jobs[job]
                letter += [(ticket, event) for event in self.span_over(ticket, job)]
            elif job.committed is not None and len(job.committed) > ticket.told and job.request.plan.final:
                new = list(islice(job.committed.items(), ticket.told, None))
                likeliest = {place: job.likeliest[place] for place, _ in new if place in job.likeliest}
                letter.append((ticket, NewTokens(new, likeliest)))
                ticket.told = len(job.committed)
        return letter

    def span_over(self, ticket: Ticket, job: Job) -> list[Event]:
        """What the end of a span brings: the next one, or the end of the request."""
        if job.filled is None:
            return [Over(None, job.error)]
        ticket.filled.append(job.filled)
        if len(ticket.filled) == len(ticket.spans):
            return [Over(joined(ticket.filled), None)]
        span, told = ticket.spans[len(ticket.filled) - 1], zip(job.filled.tokens, job.filled.logprobs, strict=True)
        likeliest = {} if job.filled.likeliest is None else dict(zip(span, job.filled.likeliest, strict=True))
        tokens = NewTokens(list(zip(span, told, strict=True)), likeliest)
        began = self.take(ticket)
        return [tokens, Over(None, began.error) if isinstance(began, Refused) else NextSpan(began.certificate)]

    def post(self, letter: Sequence[tuple[Ticket, Event]]) -> None:
        if letter:
            self.call(self.deliver, letter)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            assert self.loop.is_closed()


def joined(results: Sequence[EngineResult]) -> EngineResult:
    """What spans brought, one behind the other."""
    masses = [result.log_mass for result in results if result.log_mass is not None]
    beside = [result.likeliest for result in results if result.likeliest is not None]
    return EngineResult(
        tokens=[token for result in results for token in result.tokens],
        logprobs=[logprob for result in results for logprob in result.logprobs],
        counters={name: sum(result.counters[name] for result in results) for name in results[0].counters},
        log_mass=sum(masses) if masses else None,
        likeliest=[each for one in beside for each in one] if beside else None,
    )
