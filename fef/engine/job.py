"""A request in the engine, as the one who asked holds it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fef.decoding.certificate import Certificate
from fef.engine.requests import EngineResult, Likeliest, Request
from fef.engine.watched import WatchedCanvas
from fef.errors import FefError

__all__ = ["Committed", "Driver", "Job", "Status"]

Status = Literal["waiting", "running", "done", "failed", "cancelled"]

Committed = dict[int, tuple[int, float]]
"""By position the token and its log p (nats), in the order in which the host learned of them."""


class Driver(Protocol):
    """What a job knows of the engine that works at it. unfinished: the jobs that are not over."""

    unfinished: set[Job]

    def step(self) -> None:
        """One round of everything that is live."""
        ...

    def cancel(self, job: Job) -> None: ...


@dataclass(eq=False)
class Job:
    """A request in the engine. `result()` drives the engine until it is done."""

    engine: Driver  # who works at it
    request: Request  # what was asked
    certificate: Certificate  # which law it samples
    began: float  # seconds on the engine's clock, as the other times
    status: Status = "waiting"  # see `Status`
    filled: EngineResult | None = None  # once it is done
    error: FefError | None = None  # once it has failed, or was cancelled
    seated: float | None = None  # when it first had a seat
    first_token: float | None = None  # when a token was first known to the host
    ended: float | None = None  # when it was over
    committed: Committed | None = None  # what is known of it before its end, where that was asked for
    likeliest: dict[int, Likeliest] = field(default_factory=dict)  # of what is committed, where they were asked for
    watched: WatchedCanvas | None = None  # what its rounds did, where that was asked for
    alone: bool = False  # shares no session with others, since one that it shared has failed
    apart: bool = False  # runs while no other session does, since memory ran out beside them

    def seat(self) -> None:
        """The request has a seat."""
        self.status = "running"
        if self.seated is None:
            self.seated = time.perf_counter()

    def end(self, status: Status, error: FefError | None = None) -> None:
        """The request is over."""
        self.status, self.error, self.ended = status, error, time.perf_counter()
        self.engine.unfinished.discard(self)

    @property
    def finished(self) -> bool:
        """Is it over, in whatever way?"""
        return self.status in ("done", "failed", "cancelled")

    def result(self) -> EngineResult:
        """The filled canvas. Raises EngineError or DenoiserError where the request failed or was cancelled."""
        while not self.finished:
            self.engine.step()
        if self.error is not None:
            raise self.error.with_traceback(None)
        assert self.filled is not None
        return self.filled

    def cancel(self) -> None:
        """Give the request up; its seat is free for the next round."""
        self.engine.cancel(self)
