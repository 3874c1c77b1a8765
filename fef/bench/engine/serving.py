"""Held-out problems answered by the engine: tokens per second, accuracy, time to the first token, memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from fef import tasks
from fef.bench.evaluate import Answer, Judge, Settings, answer_of
from fef.engine.choice import RoundTally
from fef.engine.text import TextEngine, TextJob
from fef.models.packed_pass import RoundShape
from fef.tasks import Problem
from fef.text import Generation

__all__ = [
    "ENGINE",
    "LOOP",
    "Served",
    "draw_problems",
    "peak_memory",
    "problems_at",
    "reset_peak_memory",
    "serve",
    "served",
]

ENGINE = "engine"
LOOP = "loop"

LEAST_PROBLEMS = 32
FILLINGS = 4  # problems a place of the batch: fewer, and most of the time the batch would not be full
_RUNS = 3  # on a GPU, where a run takes a second or two


@dataclass(frozen=True)
class Served:
    """A method's answers at a batch size."""

    batch: int  # requests at once
    method: str  # label
    where: str  # ENGINE or LOOP, the reference loop
    problems: int  # answered
    right: int  # of them
    seconds: float  # decoding alone, all problems
    tokens: int  # of the answers, end tokens among them
    passes: int  # summed over problems
    token_forwards: int  # summed over problems
    first_token: float | None = None  # median seconds to it, of a full batch that arrives at once
    memory: int | None = None  # peak bytes
    ideal_seconds: float | None = None  # what the passes take without any overhead (see `rivals`)
    predicted: float | None = None  # tokens of a round per request, as the engine expected when it chose its shape
    real: float | None = None  # and as they were, of packed rounds

    @property
    def accuracy(self) -> float:
        """In %."""
        return 100 * self.right / self.problems

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds

    @property
    def ideal_rate(self) -> float | None:
        return None if self.ideal_seconds is None else self.tokens / self.ideal_seconds


def draw_problems(families: Sequence[str], count: int, seed: int) -> list[Problem]:
    """`count` held-out problems per family, one of each family after the other, so that any first few are mixed."""
    drawn = [tasks.generate(family, count, seed, split="held-out") for family in families]
    return [problem for group in zip(*drawn, strict=True) for problem in group]


def problems_at(batch: int, problems: Sequence[Problem]) -> list[Problem]:
    """The first of them, enough to keep this batch full most of the time."""
    return list(problems[: max(LEAST_PROBLEMS, FILLINGS * batch)])


def serve(
    method: str, batch: int, problems: Sequence[Problem], settings: Settings, judge: Judge, engine: TextEngine
) -> tuple[Served, list[Answer]]:
    """Answer the problems, all of them submitted at once, and score them. The time is that of the median run, after one
    that captures graphs and learns costs. Raises as `TextEngine.submit` and `TextJob.result`."""
    on_cuda = engine.engine.device.type == "cuda"
    if on_cuda:
        engine.engine.measure()
    first_token(engine, method, problems[: batch if on_cuda else 1], settings)
    if on_cuda:
        answer_all(engine, method, problems, settings)
    tallied = rounds_total(engine)
    runs = [answer_all(engine, method, problems, settings) for _ in range(_RUNS if on_cuda else 1)]
    predicted, real = calibration(tallied, rounds_total(engine))
    waited = statistics.median(first_token(engine, method, problems[:batch], settings))
    seconds = statistics.median(seconds for seconds, _ in runs)
    outs = runs[-1][1]
    answers = [answer_of(out, judge(problem, out.text)) for out, problem in zip(outs, problems, strict=True)]
    memory = peak_memory(engine.engine.device)
    row = served(batch, method, ENGINE, answers, seconds, first_token=waited, memory=memory)
    return replace(row, predicted=predicted, real=real), answers


def rounds_total(engine: TextEngine) -> RoundTally:
    """Of packed rounds of all shapes."""
    total = RoundTally(RoundShape(0))
    for tally in engine.engine.tallies:
        total.rows += tally.rows
        total.predicted += tally.predicted
        total.tokens += tally.tokens
    return total


def calibration(before: RoundTally, after: RoundTally) -> tuple[float | None, float | None]:
    """Tokens of a round per request, predicted and real, in between; None where there were no packed rounds."""
    rows = after.rows - before.rows
    if not rows:
        return None, None
    return (after.predicted - before.predicted) / rows, (after.tokens - before.tokens) / rows


def served(
    batch: int,
    method: str,
    where: str,
    answers: Sequence[Answer],
    seconds: float,
    first_token: float | None = None,
    memory: int | None = None,
    ideal_seconds: float | None = None,
) -> Served:
    return Served(
        batch=batch,
        method=method,
        where=where,
        problems=len(answers),
        right=sum(a.right for a in answers),
        seconds=seconds,
        tokens=sum(a.tokens for a in answers),
        passes=sum(a.calls for a in answers),
        token_forwards=sum(a.token_forwards for a in answers),
        first_token=first_token,
        memory=memory,
        ideal_seconds=ideal_seconds,
    )


def answer_all(
    engine: TextEngine, method: str, problems: Sequence[Problem], settings: Settings
) -> tuple[float, list[Generation]]:
    """(seconds, answers)."""
    began = time.perf_counter()
    jobs = submit(engine, method, problems, settings)
    engine.run()
    seconds = time.perf_counter() - began
    return seconds, [job.result() for job in jobs]


def first_token(engine: TextEngine, method: str, problems: Sequence[Problem], settings: Settings) -> list[float]:
    """Seconds from the submission of each problem to its first token."""
    jobs = submit(engine, method, problems, settings)
    engine.run()
    for job in jobs:
        job.result()
    return [job.job.first_token - job.job.began for job in jobs if job.job.first_token is not None]


def submit(engine: TextEngine, method: str, problems: Sequence[Problem], settings: Settings) -> list[TextJob]:
    return [
        engine.submit(
            problem.prompt,
            max_new_tokens=settings.max_new_tokens,
            method=method,
            verify="packed",
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed + i,
        )
        for i, problem in enumerate(problems)
    ]


def reset_peak_memory(device: torch.device) -> None:
    """Peaks count from here on a GPU; those of a CPU's process never fall."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that tensors took on a GPU; on a CPU, the most that the process had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
