"""An engine whose rounds take a given time and commit a given number of tokens, whatever a network would do: at the pace of
a GPU it shows on any machine what carries its answers.

    python -m fef.bench.serve --round-ms 9.4 --streams 64 --requests 192 --max-tokens 128

measures a server of such an engine, which this module starts.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from fef.engine.engine import Engine
from fef.engine.job import Job
from fef.engine.requests import EngineResult, Request
from fef.engine.slots import COUNTERS
from fef.engine.text import TextEngine
from fef.generation import Model
from fef.measure.program import program
from fef.serve.app import ServeOptions
from fef.serve.process import EngineSpec, ProcessHost
from fef.serve.run import bound, serve

__all__ = ["Pace", "PacedSpec", "paced"]

TEXT = "He buys 3 bags of 6 apples, so he has 12 + 18 = 30 apples now. Then he eats 2 of them, and 28 are left. "


@dataclass(frozen=True)
class Pace:
    """Of rounds: milliseconds, and the tokens that each request has of one."""

    round_ms: float = 9.4
    round_tokens: int = 3


class PacedRounds:
    """What an engine asks of its rounds. tokens: of all texts, over and over. seats: requests at once."""

    def __init__(self, pace: Pace, tokens: Sequence[int], seats: int) -> None:
        self.pace, self.tokens, self.seats = pace, tokens, seats
        self.running: list[Job] = []
        self.waiting: deque[Job] = deque()
        self.due = 0.0  # when the next round is over
        self.waited = 0.0  # seconds, for rounds

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting)

    def submit(self, job: Job) -> None:
        self.waiting.append(job)

    def cancel(self, job: Job) -> None:
        (self.running if job in self.running else self.waiting).remove(job)

    def step(self) -> None:
        """One round. What the host does between two of them takes no time from the next, as on a GPU."""
        now, round_seconds = time.perf_counter(), self.pace.round_ms / 1e3
        self.due = (max(self.due, now - round_seconds) if self.running else now) + round_seconds
        while self.waiting and len(self.running) < self.seats:
            self.running.append(self.waiting.popleft())
            self.running[-1].seat()
        self.waited += max(0.0, self.due - now)
        time.sleep(max(0.0, self.due - now))
        for job in list(self.running):
            self.advance(job)

    def advance(self, job: Job) -> None:
        """Commit the tokens of a round. A text ends somewhere in the second half of its canvas, as its seed says."""
        asked = job.request
        assert asked.eos_id is not None, "a model whose texts end"
        places, committed = asked.open.tolist(), {} if job.committed is None else job.committed
        count = len(places) - asked.seed % (1 + len(places) // 2)
        job.committed = committed
        job.first_token = job.first_token or time.perf_counter()
        for rank in range(len(committed), min(len(committed) + self.pace.round_tokens, count)):
            ends = rank + 1 == count < len(places)
            committed[places[rank]] = asked.eos_id if ends else self.tokens[rank % len(self.tokens)], -0.5
        if len(committed) == count:
            self.running.remove(job)
            drawn, rest = list(committed.values()), len(places) - count
            counters = dict.fromkeys(COUNTERS, 0) | {"rows": 0, "committed": count}
            tokens = [token for token, _ in drawn] + [asked.eos_id] * rest
            job.filled = EngineResult(tokens, [logprob for _, logprob in drawn] + [0.0] * rest, counters)
            job.end("done")


class PacedEngine(Engine):
    """An engine that has no other rounds."""

    def __init__(self, /, denoiser: Callable[..., Tensor], pace: Pace, tokens: Sequence[int], **options: Any) -> None:
        super().__init__(denoiser, **options)
        self.rounds = PacedRounds(pace, tokens, self.options.max_batch)

    def rounds_of(self, request: Request) -> Any:
        return self.rounds

    @property
    def busy(self) -> bool:
        return self.rounds.busy

    @property
    def waited(self) -> float:
        return self.rounds.waited

    def step(self) -> None:
        self.rounds.step()


def paced(engine: TextEngine, pace: Pace) -> TextEngine:
    """The same engine, with rounds of that pace."""
    given = engine.engine.options
    options = {each.name: getattr(given, each.name) for each in fields(given)}
    tokens = engine.model.text_ids("text", TEXT)
    engine.engine = PacedEngine(engine.engine.denoiser, pace, tokens, **options)
    return engine


@dataclass(frozen=True)
class PacedSpec(EngineSpec):
    """An engine of that pace."""

    pace: Pace = field(default_factory=Pace)

    def made(self) -> tuple[Model, TextEngine]:
        model, engine = super().made()
        return model, paced(engine, self.pace)


@dataclass(frozen=True)
class Options(Pace):
    """As on the command line."""

    model: str = "demo"
    device: str = "cpu"
    max_batch: int = 64
    port: int = 0


@program(Options, __doc__)
def main(given: Options) -> None:
    spec = PacedSpec(
        given.model, given.device, max_batch=given.max_batch, pace=Pace(given.round_ms, given.round_tokens)
    )
    with closing(bound("127.0.0.1", given.port)) as listener:
        serve(ProcessHost(spec), ServeOptions(), listener, say=lambda words: print(words, file=sys.stderr, flush=True))


if __name__ == "__main__":
    from fef.bench import paced as imported  # the engine's process finds its classes by this name

    imported.main()
