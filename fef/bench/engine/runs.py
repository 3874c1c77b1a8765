"""All prompts at once in an engine: seconds, answers, and what its rounds did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fef.engine.choice import RoundTally
from fef.engine.text import TextEngine
from fef.measure.answering import Asked, submit
from fef.measure.timing import Stopwatch
from fef.models.packed_pass import RoundShape
from fef.text import Generation, Prompt

__all__ = ["Run", "Tallies", "run_all", "tallied", "tallies"]

Tallies = Mapping[RoundShape, RoundTally]


@dataclass(frozen=True)
class Run:
    """Prompts that were answered."""

    seconds: float  # of them all
    host: float  # of those, in which the host did not wait for the device
    found: list[Generation]  # in the order of the prompts
    firsts: list[float]  # seconds to the first token of each that has one


def run_all(engine: TextEngine, prompts: Sequence[Prompt], seed: int, asked: Asked) -> Run:
    """Prompt i has the seed `seed + i`. Raises as `TextEngine.submit` and `TextJob.result`."""
    waited, watch = engine.engine.waited, Stopwatch()
    jobs = submit(engine, prompts, range(len(prompts)), seed, asked)
    engine.run()
    seconds = watch.seconds
    found = [job.result() for job in jobs.values()]
    firsts = [job.job.first_token - job.job.began for job in jobs.values() if job.job.first_token is not None]
    return Run(seconds, seconds - (engine.engine.waited - waited), found, firsts)


def tallies(engine: TextEngine) -> Tallies:
    """What packed rounds of each shape came to so far."""
    return {tally.shape: replace(tally) for tally in engine.engine.tallies}


def tallied(engine: TextEngine, before: Tallies) -> list[RoundTally]:
    """And what they came to since then, of shapes that rounds had."""
    found = []
    for shape, now in tallies(engine).items():
        then = before.get(shape, RoundTally(shape))
        since = {name: getattr(now, name) - getattr(then, name) for name in ("rounds", "rows", "predicted", "tokens")}
        found.append(RoundTally(shape, **since))
    return [tally for tally in found if tally.rounds]
