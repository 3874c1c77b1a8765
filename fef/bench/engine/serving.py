"""Held-out problems answered by the engine, and by decoders of the reference loop: as they run, and with nothing but the
bare time of their passes.

Idealised, a decoder has a full batch in every pass, each pass takes what it takes as the replay of a graph with the head at
one slot, and a pass of fewer tokens (a cache) takes its share of that by tokens, but no less than its weights take to be
read at copy bandwidth. Nothing is drawn, chosen, committed or copied. All of that favours the decoder over the engine,
whose time is that of the clock on the wall.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fef import tasks
from fef.bench.engine.runs import Run, run_all, tallied, tallies
from fef.bench.evaluate import Judge, Settings, evaluate
from fef.bench.spec import MethodSpec
from fef.engine.text import TextEngine
from fef.generation import Model
from fef.measure.answers import Answer, answer_of
from fef.measure.environment import peak_bytes
from fef.tasks import Problem

__all__ = [
    "DEFAULT_RIVALS",
    "ENGINE",
    "LOOP",
    "PassCosts",
    "Served",
    "draw_problems",
    "ideal_seconds",
    "problems_at",
    "run_rival",
    "serve",
]

DEFAULT_RIVALS = ("sequential", "low-confidence", "threshold:cache=dual,block_length=32", "dual")

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
    ideal_seconds: float | None = None  # what the passes take without any overhead
    predicted: float | None = None  # tokens of a round per request, as the engine expected when it chose its shape
    real: float | None = None  # and as they were, of packed rounds

    @property
    def name(self) -> str:
        return f"{self.method}, {self.where}"

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
    prompts, asked = [problem.prompt for problem in problems], settings.asked(method, {"verify": "packed"})

    def answered(count: int | None = None) -> Run:
        return run_all(engine, prompts[:count], settings.seed, asked)

    on_cuda = engine.engine.device.type == "cuda"
    if on_cuda:
        engine.engine.measure()
    answered(batch if on_cuda else 1)
    if on_cuda:
        answered()
    before = tallies(engine)
    runs = [answered() for _ in range(_RUNS if on_cuda else 1)]
    rounds = tallied(engine, before)
    rows = sum(tally.rows for tally in rounds)
    waits = answered(batch).firsts
    pairs = zip(runs[-1].found, problems, strict=True)
    answers = [answer_of(out, judge(problem, out.text)) for out, problem in pairs]
    seconds, memory = statistics.median(run.seconds for run in runs), peak_bytes(engine.engine.device)
    times: dict[str, Any] = {"first_token": statistics.median(waits), "memory": memory}
    if rows:
        times["predicted"] = sum(tally.predicted for tally in rounds) / rows
        times["real"] = sum(tally.tokens for tally in rounds) / rows
    return served(batch, method, ENGINE, answers, seconds, **times), answers


def served(batch: int, method: str, where: str, answers: Sequence[Answer], seconds: float, **more: Any) -> Served:
    counted = {name: sum(getattr(a, name) for a in answers) for name in ("right", "tokens", "token_forwards")}
    passes = sum(a.calls for a in answers)
    return Served(batch, method, where, len(answers), seconds=seconds, passes=passes, **counted, **more)


@dataclass(frozen=True)
class PassCosts:
    """full: seconds of a plain pass of `batch` canvases of `length` tokens. weights: seconds to read the weights."""

    batch: int
    length: int
    full: float
    weights: float


def run_rival(
    model: Model,
    spec: MethodSpec,
    batch: int,
    problems: Sequence[Problem],
    settings: Settings,
    judge: Judge,
    costs: PassCosts | None,
) -> Served:
    """costs: None where the plain pass could not be measured."""
    result = evaluate(model, problems, spec, settings, warm_up=True, judge=judge)
    ideal = None if costs is None else ideal_seconds(result.answers, costs)
    more: dict[str, Any] = {"memory": peak_bytes(model.network.device), "ideal_seconds": ideal}
    seconds = sum(answer.seconds for answer in result.answers)
    return served(batch, spec.label, LOOP, result.answers, seconds, **more)


def ideal_seconds(answers: Sequence[Answer], costs: PassCosts) -> float:
    """Seconds of all the answers, idealised."""
    least = min(costs.weights, costs.full)
    by_tokens = costs.full / costs.length
    return sum(max(a.calls * least, a.token_forwards * by_tokens) for a in answers) / costs.batch
