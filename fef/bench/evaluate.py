"""Evaluation of one method on a list of problems. Knows models, problems and scores; not tables, files or terminals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

from fef import tasks
from fef.bench.acceptance import Acceptance, AcceptanceCounter
from fef.bench.spec import MethodSpec
from fef.decoding.certificate import Certificate
from fef.decoding.session import Observer
from fef.generation import Model
from fef.tasks import Problem
from fef.text import Generation

__all__ = ["Answer", "Judge", "Result", "Settings", "check_fit", "evaluate", "remembering_judge", "same_ids"]

Judge = Callable[[Problem, str], bool]


@dataclass(frozen=True)
class Settings:
    """How every method of a benchmark is run. `max_new_tokens` is the length of the canvas."""

    batch_size: int = 32
    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """One problem's outcome. The counters are those of `fef.decoding.meter`."""

    right: bool  # was it solved?
    tokens: int  # of the answer, the end token among them, each counted once
    digest: str  # equal for answers of equal token ids
    text: str  # of the answer
    calls: int  # forward passes
    rows: int  # sequences in them
    token_forwards: int  # tokens in them
    rounds: int  # of drafts and verification


@dataclass(frozen=True)
class Result:
    """The answers of one method on one family, in the order of the problems. seconds: decoding alone."""

    family: str
    spec: MethodSpec
    answers: tuple[Answer, ...]
    seconds: float
    certificate: Certificate
    acceptance: Acceptance


def evaluate(
    model: Model,
    problems: Sequence[Problem],
    spec: MethodSpec,
    settings: Settings,
    *,
    warm_up: bool = False,
    judge: Judge = tasks.score,
    on_done: Callable[[int], None] | None = None,
) -> Result:
    """Answer and score problems of one family (at least one). Problem i has the seed `settings.seed + i` in any batch.

    warm_up: answer one problem first, untimed. on_done: called with the number of problems of each finished batch.
    """
    if warm_up:
        generate(model, problems, [0], spec, settings)
    answers: dict[int, Answer] = {}
    seconds = 0.0
    counter = AcceptanceCounter()
    with ThreadPoolExecutor() as pool:  # running code waits for child processes, never while a batch is timed
        for batch in batches(model, problems, settings.batch_size):
            began = time.perf_counter()
            outs = generate(model, problems, batch, spec, settings, counter)
            seconds += time.perf_counter() - began
            rights = pool.map(judge, [problems[i] for i in batch], [out.text for out in outs])
            answers.update(zip(batch, map(answer_of, outs, rights), strict=True))
            if on_done is not None:
                on_done(len(batch))
    ordered = tuple(answers[i] for i in range(len(problems)))
    return Result(problems[0].family, spec, ordered, seconds, outs[0].certificate, counter.result())


def answer_of(out: Generation, right: bool) -> Answer:
    stopped = out.finish_reason == "stop"
    return Answer(
        right=right,
        tokens=len(out.token_ids) + stopped,
        digest=sha256(repr((out.token_ids, stopped)).encode()).hexdigest()[:16],
        text=out.text,
        **{name: int(out.stats[name]) for name in ("calls", "rows", "token_forwards", "rounds")},
    )


def check_fit(model: Model, problems: Sequence[Problem], settings: Settings) -> None:
    """Raise InputError or OptionError where a problem and its canvas do not fit the model."""
    for problem in problems:
        model.canvas(problem.prompt, settings.max_new_tokens, "")


def generate(
    model: Model,
    problems: Sequence[Problem],
    batch: Sequence[int],
    spec: MethodSpec,
    settings: Settings,
    on_round: Observer | None = None,
) -> list[Generation]:
    return model.generate(
        [problems[i].prompt for i in batch],
        method=spec.name,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=[settings.seed + i for i in batch],
        on_round=on_round,
        **spec.options,
    )


def batches(model: Model, problems: Sequence[Problem], size: int) -> list[list[int]]:
    """Indices in batches of prompts of similar length, so that little padding is computed."""
    lengths = [len(model.tokenizer.encode(p.prompt)) for p in problems]
    order = sorted(range(len(problems)), key=lengths.__getitem__)
    return [order[i : i + size] for i in range(0, len(order), size)]


def remembering_judge(judge: Judge = tasks.score) -> Judge:
    """A judge that scores equal answers to one problem once: methods often agree, and running code takes time."""
    known: dict[tuple[str, str, str], bool] = {}

    def remembered(problem: Problem, text: str) -> bool:
        key = (problem.family, problem.prompt, text)
        if key not in known:
            known[key] = judge(problem, text)
        return known[key]

    return remembered


def same_ids(first: Result, second: Result) -> int:
    """Number of problems on which two methods gave the same token ids."""
    return sum(a.digest == b.digest for a, b in zip(first.answers, second.answers, strict=True))
