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
from dataclasses import dataclass

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

__all__ = ["PacedSpec", "paced"]

TEXT = "He buys 3 bags of 6 apples, so he has 12 + 18 = 30 apples now. Then he eats 2 of them, and 28 are left. "
ROUND_TOKENS = 3  # of each request


class PacedRounds(PackedRounds):
    """The packed rounds of an engine at another pace. tokens: of all texts, over and over."""

    def __init__(self, rounds: PackedRounds, round_ms: float, tokens: Sequence[int]) -> None:
        vars(self).update(vars(rounds))
        self.round_seconds, self.tokens = round_ms / 1e3, tokens
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

    def step(self, wait: bool = True) -> None:
        """One round. What the host does between two of them takes no time from the next, as on a GPU."""
        now, running = time.perf_counter(), self.jobs[: self.options.max_batch]
        on_time = running and running[0].status == "running"  # behind another round
        self.due = (max(self.due, now - self.round_seconds) if on_time else now) + self.round_seconds
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
        for rank in range(len(committed), min(len(committed) + ROUND_TOKENS, count)):
            ends = rank + 1 == count < len(places)
            committed[places[rank]] = asked.eos_id if ends else self.tokens[rank % len(self.tokens)], -0.5
        if len(committed) == count:
            self.jobs.remove(job)
            drawn, rest = list(committed.values()), len(places) - count
            counters = dict.fromkeys(COUNTERS, 0) | {"rows": 0, "committed": count}
            tokens = [token for token, _ in drawn] + [asked.eos_id] * rest
            job.filled = EngineResult(tokens, [logprob for _, logprob in drawn] + [0.0] * rest, counters)
            job.end("done")


def paced(engine: TextEngine, round_ms: float) -> TextEngine:
    """The same engine, whose packed rounds take so many milliseconds."""
    engine.engine.packed = PacedRounds(engine.engine.packed_rounds(), round_ms, engine.model.text_ids("text", TEXT))
    return engine


@dataclass(frozen=True)
class PacedSpec(EngineSpec):
    """An engine of that pace, behind a server; as on the command line."""

    round_ms: float = 9.4
    port: int = 0

    def made(self) -> tuple[Model, TextEngine]:
        model, engine = super().made()
        return model, paced(engine, self.round_ms)


@program(PacedSpec, __doc__)
def main(given: PacedSpec) -> None:
    with closing(bound("127.0.0.1", given.port)) as listener:
        serve(ProcessHost(given), ServeOptions(), listener, say=lambda words: print(words, file=sys.stderr, flush=True))


if __name__ == "__main__":
    from fef.bench import paced as imported  # the engine's process finds its classes by this name

    imported.main()
