"""A request in the engine, as the one who asked holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fef.decoding.certificate import Certificate
from fef.engine.requests import Course, Filled, Request
from fef.engine.slots import PassRequest
from fef.errors import FefError

if TYPE_CHECKING:
    from fef.engine.engine import Engine

__all__ = ["Job"]


@dataclass(eq=False)
class Job:
    """A request in the engine. `result()` drives the engine until it is done. status: "waiting", "running", "done",
    "failed" or "cancelled". began, first_token, ended: seconds on the engine's clock."""

    engine: Engine
    request: Request
    certificate: Certificate
    course: Course
    status: str = "waiting"
    filled: Filled | None = None
    error: FefError | None = None
    slot: int | None = None
    admitted_at: int = -1
    pass_: PassRequest | None = None
    began: float = 0.0
    first_token: float | None = None
    ended: float | None = None

    @property
    def finished(self) -> bool:
        return self.status in ("done", "failed", "cancelled")

    def result(self) -> Filled:
        """The filled canvas. Raises EngineError or DenoiserError where the request failed or was cancelled."""
        while not self.finished:
            self.engine.step()
        if self.error is not None:
            raise self.error
        assert self.filled is not None
        return self.filled

    def cancel(self) -> None:
        """Give the slot up; it is free for the next round."""
        self.engine.cancel(self)
