"""Where answers come from: batches through `Model.generate`, or the engine with all prompts at once. Either way an answer is
that of its own prompt and seed, so a measurement may stop anywhere and go on in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fef.decoding.session import Observer
from fef.engine.text import TextEngine, TextJob
from fef.generation import Model
from fef.measure.answers import Answer
from fef.measure.timing import Stopwatch
from fef.text import Generation, Prompt

__all__ = ["Answered", "Asked", "batches_of", "in_batches", "in_engine", "judged", "submit"]

Asked = Mapping[str, Any]
"""The method, its options, the sampling and the length of the canvas, as `Model.generate` takes them."""


@dataclass(frozen=True)
class Answered:
    """One answer of several that came together."""

    index: int  # of the prompt
    out: Generation
    seconds: float  # its share of their time


def batches_of(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Places in batches of similar length, so that little padding is computed; the longest first, so that memory runs out at
    once or never."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i : i + size] for i in range(0, len(order), size)]


def in_batches(
    model: Model,
    prompts: Sequence[Prompt],
    batches: Iterable[Sequence[int]],
    seed: int,
    asked: Asked,
    on_round: Observer | None = None,
) -> Iterator[list[Answered]]:
    """The answers of each batch, a list of numbers of prompts; prompt i has the seed `seed + i`."""
    for batch in batches:
        some: list[Any] = [prompts[i] for i in batch]
        watch = Stopwatch()
        outs: list[Generation] = model.generate(some, seed=[seed + i for i in batch], on_round=on_round, **asked)
        seconds = watch.seconds / len(batch)
        yield [Answered(i, out, seconds) for i, out in zip(batch, outs, strict=True)]


def in_engine(
    engine: TextEngine, prompts: Sequence[Prompt], indices: Sequence[int], seed: int, asked: Asked
) -> Iterator[list[Answered]]:
    """The answers to the prompts of these numbers as they are finished; all are submitted at once. Raises as
    `TextEngine.submit` and `TextJob.result`."""
    watch = Stopwatch()
    jobs = submit(engine, prompts, indices, seed, asked)
    spent = watch.seconds
    while jobs:
        watch = Stopwatch()
        engine.step()
        finished = [i for i, job in jobs.items() if job.job.finished]
        outs = [jobs.pop(i).result() for i in finished]
        spent += watch.seconds
        if outs:
            yield [Answered(i, out, spent / len(outs)) for i, out in zip(finished, outs, strict=True)]
            spent = 0.0


def submit(
    engine: TextEngine, prompts: Sequence[Prompt], indices: Iterable[int], seed: int, asked: Asked
) -> dict[int, TextJob]:
    """The jobs of the prompts of these numbers; prompt i has the seed `seed + i`. Raises as `TextEngine.submit`."""
    found = list(indices)
    jobs = engine.submit_all([prompts[i] for i in found], seed=[seed + i for i in found], **asked)
    return dict(zip(found, jobs, strict=True))


def judged(answered: Iterable[list[Answered]], judge: Callable[[Answered], Answer]) -> Iterator[list[Answer]]:
    """Answers with what became of them. Programs are run in child processes, waited for here and never while answers are
    timed."""
    with ThreadPoolExecutor() as pool:
        for together in answered:
            yield list(pool.map(judge, together))
