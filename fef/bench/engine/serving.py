"""Prompts answered by the engine, all at once, and by decoders of the reference loop: as they run, and idealised, with the
bare time of their passes alone (`page` says how)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fef import tasks
from fef.bench.engine.rows import ENGINE, PassRow, Served, ShapeRow
from fef.engine.choice import RoundTally
from fef.engine.text import TextEngine
from fef.measure.answering import Asked
from fef.measure.answers import Answer, answer_of
from fef.measure.environment import peak_bytes
from fef.measure.timing import Stopwatch
from fef.models.packed_pass import RoundShape
from fef.tasks import Problem
from fef.text import Generation, Prompt

__all__ = ["Run", "draw_problems", "ideal_seconds", "problems_at", "run_all", "serve", "served"]

LEAST_PROBLEMS = 32
FILLINGS = 4  # problems a place of the batch: fewer, and most of the time the batch would not be full
_WARM_UPS = 6  # at most, until no graph is new


def draw_problems(families: Sequence[str], count: int, seed: int) -> list[Problem]:
    """`count` held-out problems per family, one of each family after the other, so that any first few are mixed."""
    drawn = [tasks.generate(family, count, seed, split="held-out") for family in families]
    return [problem for group in zip(*drawn, strict=True) for problem in group]


def problems_at(batch: int, problems: Sequence[Problem]) -> list[Problem]:
    """The first of them, enough to keep this batch full most of the time."""
    return list(problems[: max(LEAST_PROBLEMS, FILLINGS * batch)])


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
    jobs = engine.submit_all(prompts, seed=seed, **asked)
    engine.run()
    seconds = watch.seconds
    found = [job.result() for job in jobs]
    firsts = [job.job.first_token - job.job.began for job in jobs if job.job.first_token is not None]
    return Run(seconds, seconds - (engine.engine.waited - waited), found, firsts)


def serve(
    engine: TextEngine, method: str, batch: int, prompts: Sequence[Prompt], asked: Asked, seed: int = 0, runs: int = 1
) -> tuple[Served, list[Generation]]:
    """Answer the prompts, all of them submitted at once, in an engine that knows its costs and has captured its graphs, since
    it answered the first of them before. The time is that of the median run. Raises as `run_all`."""
    chooser, on_cuda = engine.engine.packed_rounds().chooser, engine.engine.device.type == "cuda"
    # on a GPU, prompts of so many lengths that a context pass of each is captured
    first = prompts[: max(LEAST_PROBLEMS, FILLINGS * batch) if on_cuda else batch]
    for _ in range(_WARM_UPS):
        graphs = chooser.graphs
        run_all(engine, first, seed, asked)
        if chooser.graphs == graphs:
            break
    waits = run_all(engine, prompts[:batch], seed, asked).firsts
    graphs, before = chooser.graphs, {tally.shape: replace(tally) for tally in engine.engine.tallies}
    done = [run_all(engine, prompts, seed, asked) for _ in range(runs)]
    shapes = shapes_since(before, engine, batch)
    rows, outs = sum(shape.rows for shape in shapes), done[-1].found
    more: dict[str, Any] = {
        "first_token": statistics.median(waits),
        "memory": peak_bytes(engine.engine.device),
        "predicted": sum(shape.predicted for shape in shapes) / rows if rows else None,
        "real": sum(shape.tokens for shape in shapes) / rows if rows else None,
        "host": statistics.median(run.host for run in done) if on_cuda else None,
        "captured": len(chooser.graphs - graphs),
        "shapes": shapes,
    }
    seconds = statistics.median(run.seconds for run in done)
    return served(batch, method, ENGINE, [answer_of(out, False) for out in outs], seconds, **more), outs


def shapes_since(before: Mapping[RoundShape, RoundTally], engine: TextEngine, batch: int) -> list[ShapeRow]:
    """What packed rounds came to since then, by their shapes."""
    found, chooser = [], engine.engine.packed_rounds().chooser
    for now in engine.engine.tallies:
        then = before.get(now.shape, RoundTally(now.shape))
        since = {name: getattr(now, name) - getattr(then, name) for name in ("rounds", "rows", "predicted", "tokens")}
        seconds = chooser.costs.seconds.get((chooser.priced(batch), now.shape))
        found.append(ShapeRow(now.shape.words, **since, seconds=seconds))
    return [shape for shape in found if shape.rounds]


def served(batch: int, method: str, where: str, answers: Sequence[Answer], seconds: float, **more: Any) -> Served:
    counted = {name: sum(getattr(a, name) for a in answers) for name in ("tokens", "token_forwards")}
    passes = sum(a.calls for a in answers)
    return Served(batch, method, where, len(answers), seconds=seconds, passes=passes, **counted, **more)


def ideal_seconds(answers: Sequence[Answer], plain: PassRow) -> float:
    """Seconds of all the answers, idealised. Its share of the copy bandwidth is what reading the weights takes of a pass."""
    least, by_tokens = min(1.0, plain.share) * plain.seconds, plain.seconds / plain.tokens
    return sum(max(a.calls * least, a.token_forwards * by_tokens) for a in answers) / plain.batch
