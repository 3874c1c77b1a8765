"""The engine at work: it follows the commands that came between two rounds, and sends one letter per round."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from fef.engine.engine import Engine, Job
from fef.engine.requests import EngineResult
from fef.errors import EngineError, FefError, OptionError
from fef.generation import Model
from fef.serve.letters import (
    Accepted,
    Call,
    Cancel,
    Command,
    Event,
    Letter,
    Lost,
    NewTokens,
    NextSpan,
    Over,
    Refused,
    Rounds,
    Settled,
    Stop,
    Submit,
    Times,
    Wanted,
)
from fef.serve.values import MOST_STEPS

__all__ = ["Line", "Worker"]


class Line(Protocol):
    """The engine's end of the line to the routes."""

    def commands(self, wait: bool) -> Iterable[Command]:
        """Those that came; wait: for one at least. Where the other end is gone, the last one is `Stop`."""
        ...

    def post(self, letter: Letter | Lost) -> None:
        """Never waits for a reader."""
        ...


@dataclass(eq=False)
class Seat:
    """A request, as the engine's side holds it. job: that of the span which runs. told: tokens of it that were told; times:
    those that were. filled: spans that are full."""

    number: int
    wanted: Wanted
    job: Job | None = None
    told: int = 0
    times: Times | None = None
    filled: list[EngineResult] = field(default_factory=list)


class Worker:
    """Works until it is told to stop, on the thread that calls `work`. model: what calls are about."""

    def __init__(self, model: Model, engine: Engine, line: Line) -> None:
        self.model, self.engine, self.line = model, engine, line
        self.seats: dict[int, Seat] = {}  # of requests that are not over
        self.asked: deque[Call] = deque()  # one goes between two rounds

    def work(self) -> None:
        try:
            while self.obey():
                if self.engine.busy:
                    self.engine.step()
                self.post(self.news())
        except Exception as error:  # whatever it is, nobody may wait for an engine that is gone
            logging.getLogger(__name__).exception("The engine is lost")
            self.line.post(Lost(error if isinstance(error, FefError) else EngineError("The engine failed.")))

    def obey(self) -> bool:
        """Follow the commands that came, after waiting for one where there is nothing else to do. False: stop."""
        letter: list[tuple[int, Event]] = []
        for command in self.line.commands(wait=not self.engine.busy and not self.asked):
            if isinstance(command, Stop):
                return False
            if isinstance(command, Submit):
                seat = self.seats[command.number] = Seat(command.number, command.wanted)
                letter.append((seat.number, self.take(seat)))
            elif isinstance(command, Call):
                self.asked.append(command)
            else:
                self.give_up(command)
        self.post(letter)
        if self.asked:
            self.post([self.answer(self.asked.popleft())])
        return True

    def give_up(self, command: Cancel) -> None:
        seat = self.seats.pop(command.number, None)
        if seat is None:
            self.asked = deque(call for call in self.asked if call.number != command.number)
        elif seat.job is not None:
            self.engine.cancel(seat.job)

    def answer(self, call: Call) -> tuple[int, Settled]:
        try:
            return call.number, Settled(call.function(self.model), None)
        except FefError as error:  # it is the caller's
            return call.number, Settled(None, error)
        except Exception as error:
            logging.getLogger(__name__).exception("A call failed")
            return call.number, Settled(None, RuntimeError(str(error)))

    def take(self, seat: Seat) -> Accepted | Refused:
        """Have the engine begin with the first span that is not full."""
        wanted, number = seat.wanted, len(seat.filled)
        ids = list(wanted.ids)
        for span, result in zip(wanted.spans, seat.filled, strict=False):
            ids[span.start : span.stop] = result.tokens
        try:
            job = self.engine.submit(
                ids,
                wanted.spans[number],
                grammar=wanted.grammars[number],
                stream=wanted.stream,
                watch=wanted.watch,
                **wanted.options,
            )
        except FefError as error:
            return self.refused(seat, error)
        except Exception:
            if self.engine.lost is None:
                logging.getLogger(__name__).exception("A request could not be taken")
            words = "This request could not be taken, for a fault of the server; its log says more."
            return self.refused(seat, EngineError(words), fault=True)
        plan = job.request.plan
        blocks = sum(-(-len(span) // (plan.block_length or len(span))) for span in wanted.spans)
        if plan.steps * blocks > MOST_STEPS:
            self.engine.cancel(job)
            return self.refused(seat, too_many_steps(plan.steps, blocks))
        seat.job, seat.told, seat.times = job, 0, None
        return Accepted(job.certificate, plan.final, plan.end_token(job.request.eos_id))

    def refused(self, seat: Seat, error: FefError, fault: bool = False) -> Refused:
        """Raises where it is the engine that is lost."""
        if self.engine.lost is not None:
            raise self.engine.lost
        del self.seats[seat.number]
        return Refused(error, fault)

    def news(self) -> Letter:
        """What the round brought."""
        letter: list[tuple[int, Event]] = []
        for number, seat in list(self.seats.items()):
            job = seat.job
            assert job is not None, "it was accepted"
            letter += [(number, event) for event in seat_news(seat, job)]
            if job.finished:
                letter += [(number, event) for event in self.span_over(seat, job)]
        return letter

    def span_over(self, seat: Seat, job: Job) -> list[Event]:
        """What the end of a span brings: the next one, or the end of the request."""
        if job.filled is None:
            del self.seats[seat.number]
            return [Over(None, job.error)]
        seat.filled.append(job.filled)
        spans = seat.wanted.spans
        if len(seat.filled) == len(spans):
            del self.seats[seat.number]
            return [Over(joined(seat.filled), None)]
        span, told = spans[len(seat.filled) - 1], zip(job.filled.tokens, job.filled.logprobs, strict=True)
        likeliest = {} if job.filled.likeliest is None else dict(zip(span, job.filled.likeliest, strict=True))
        tokens = NewTokens(list(zip(span, told, strict=True)), likeliest)
        began = self.take(seat)
        return [tokens, Over(None, began.error) if isinstance(began, Refused) else NextSpan(began.certificate)]

    def post(self, letter: Letter) -> None:
        if letter:
            self.line.post(letter)


def too_many_steps(steps: int, blocks: int) -> OptionError:
    return OptionError(
        f"steps={steps} in each of {blocks} blocks are more than the {MOST_STEPS} that this server takes: give fewer steps, "
        "or longer blocks."
    )


def seat_news(seat: Seat, job: Job) -> list[Event]:
    """What the round brought to a request, but for its end."""
    found: list[Event] = []
    if job.seated is not None and (seat.times is None or seat.times.first_token != job.first_token):
        seat.times = Times(job.began, job.seated, job.first_token)
        found.append(seat.times)
    if job.watched is not None and (rounds := job.watched.take()):
        found.append(Rounds(rounds))
    if job.finished or job.committed is None or not job.request.plan.final:
        return found
    if new := len(job.committed) - seat.told:
        committed = list(islice(reversed(job.committed.items()), new))[::-1]
        likeliest = {place: job.likeliest[place] for place, _ in committed if place in job.likeliest}
        found.append(NewTokens(committed, likeliest))
        seat.told += new
    return found


def joined(results: list[EngineResult]) -> EngineResult:
    """What spans brought, one behind the other."""
    masses = [result.log_mass for result in results if result.log_mass is not None]
    beside: list[Any] = [result.likeliest for result in results if result.likeliest is not None]
    return EngineResult(
        tokens=[token for result in results for token in result.tokens],
        logprobs=[logprob for result in results for logprob in result.logprobs],
        counters={name: sum(result.counters[name] for result in results) for name in results[0].counters},
        log_mass=sum(masses) if masses else None,
        likeliest=[each for one in beside for each in one] if beside else None,
    )
