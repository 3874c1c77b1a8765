"""An engine whose rounds take a given time and commit a given number of tokens, whatever a network would do: at the pace of
a GPU it shows on any machine what carries its answers.

    python -m fef.bench.serve --round-ms 9.4 --streams 64 --requests 192 --max-tokens 128

measures a server of such an engine, which this module starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from fef.engine.job import Job
from fef.engine.packed_rounds import PackedRounds
from fef.engine.requests import EngineResult
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


class PacedRounds(PackedRounds):
    """The packed rounds of an engine at another pace. tokens: of all texts, over and over."""

    def __init__(self, rounds: PackedRounds, pace: Pace, tokens: Sequence[int]) -> None:
        vars(self).update(vars(rounds))
        self.pace, self.tokens = pace, tokens
        self.jobs: list[Job] = []  # those that run, and behind them those that wait
        self.due = 0.0  # when the next round is over
        self.slept = 0.0  # seconds, for rounds

    @property
    def busy(self) -> bool:
        return bool(self.jobs)

    @property
    def waited(self) -> float:
        return self.slept

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def cancel(self, job: Job) -> None:
        self.jobs.remove(job)

    def step(self) -> None:
        """One round. What the host does between two of them takes no time from the next, as on a GPU."""
        now, round_seconds, running = time.perf_counter(), self.pace.round_ms / 1e3, self.jobs[: self.options.max_batch]
        on_time = running and running[0].status == "running"  # behind another round
        self.due = (max(self.due, now - round_seconds) if on_time else now) + round_seconds
        for job in running:
            job.seat()
        self.slept += max(0.0, self.due - now)
        time.sleep(max(0.0, self.due - now))
        for job in running:
            self.commit(job)

    def commit(self, job: Job) -> None:
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
            self.jobs.remove(job)
            drawn, rest = list(committed.values()), len(places) - count
            counters = dict.fromkeys(COUNTERS, 0) | {"rows": 0, "committed": count}
            tokens = [token for token, _ in drawn] + [asked.eos_id] * rest
            job.filled = EngineResult(tokens, [logprob for _, logprob in drawn] + [0.0] * rest, counters)
            job.end("done")


def paced(engine: TextEngine, pace: Pace) -> TextEngine:
    """The same engine, whose packed rounds have that pace."""
    engine.engine.packed = PacedRounds(engine.engine.packed_rounds(), pace, engine.model.text_ids("text", TEXT))
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
