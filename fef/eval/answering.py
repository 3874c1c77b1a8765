"""Where the answers of a run come from: batches through `Model.generate`, or the engine with all prompts at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.engine.packed_rounds import runs_packed
from fef.engine.text import TextEngine, TextJob
from fef.eval.prompts import FittedPrompt, canvas_length
from fef.eval.settings import Settings
from fef.generation import Model
from fef.text import Generation

__all__ = ["Answered", "in_batches", "in_engine"]

_WARM_UP = 4  # prompts
_LENGTH_STEP = 64  # canvases of the engine are multiples of this


@dataclass(frozen=True)
class Answered:
    """One answer of several that came together."""

    index: int  # of the prompt
    out: Generation
    seconds: float  # its share of their time


def in_batches(
    model: Model, ready: Sequence[FittedPrompt], settings: Settings, batches: Sequence[Sequence[int]]
) -> Iterator[list[Answered]]:
    """The answers of each batch, a list of numbers of prompts."""
    for batch in batches:
        began = time.perf_counter()
        prompts: list[Any] = [ready[i].prompt for i in batch]
        outs: list[Generation] = model.generate(
            prompts, seed=[settings.seed + i for i in batch], **sampling_of(settings)
        )
        seconds = (time.perf_counter() - began) / len(batch)
        yield [Answered(i, out, seconds) for i, out in zip(batch, outs, strict=True)]


def in_engine(
    model: Model,
    ready: Sequence[FittedPrompt],
    settings: Settings,
    indices: Sequence[int],
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[list[Answered]]:
    """The answers to the prompts of these numbers as they are finished; all are submitted at once.

    On a GPU, graphs are captured and kernels compiled by prompts that are answered beforehand, for which no answer is
    billed. note: takes the engine's remarks. Raises as `TextEngine.submit` and `TextJob.result`.
    """
    if not indices:
        return
    engine = model.engine(**engine_options(model, ready, settings))
    if engine.engine.device.type == "cuda":
        warm_up(engine, plan_of(model, settings), ready, settings, indices)
    began = time.perf_counter()
    jobs = submit(engine, ready, settings, indices)
    spent = time.perf_counter() - began
    while jobs:
        began = time.perf_counter()
        engine.step()
        finished = [i for i, job in jobs.items() if job.job.finished]
        outs = [jobs.pop(i).result() for i in finished]
        spent += time.perf_counter() - began
        if outs:
            yield [Answered(i, out, spent / len(outs)) for i, out in zip(finished, outs, strict=True)]
            spent = 0.0
    for remark in engine.notes:
        note(remark)


def warm_up(
    engine: TextEngine, plan: Plan, ready: Sequence[FittedPrompt], settings: Settings, indices: Sequence[int]
) -> None:
    """Packed rounds are warm when they have been full; sessions capture nothing, and a few prompts do."""
    packed = engine.engine.packed is not None and runs_packed(plan)
    if packed:
        engine.engine.measure()
    submit(engine, ready, settings, indices[: settings.batch_size if packed else _WARM_UP])
    engine.run()


def plan_of(model: Model, settings: Settings) -> Plan:
    return make_plan(settings.method, dict(settings.options), Network(model.network))


def submit(
    engine: TextEngine, ready: Sequence[FittedPrompt], settings: Settings, indices: Sequence[int]
) -> dict[int, TextJob]:
    sampling = sampling_of(settings)
    return {i: engine.submit(ready[i].prompt, seed=settings.seed + i, **sampling) for i in indices}


def sampling_of(settings: Settings) -> dict[str, Any]:
    return {
        "method": settings.method,
        "max_new_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        **settings.options,
    }


def engine_options(model: Model, ready: Sequence[FittedPrompt], settings: Settings) -> dict[str, Any]:
    """An engine of just the canvases that are needed, and of the window that the settings name.

    A method that drafts nothing gets rounds without drafts, so that its passes are those that it is known for.
    """
    longest = max(canvas_length(model, one.prompt, settings.max_new_tokens) for one in ready)
    longest = min(-(-longest // _LENGTH_STEP) * _LENGTH_STEP, model.network.config.max_length)
    options = {
        "max_batch": settings.batch_size,
        "max_length": longest,
        "max_new_tokens": settings.max_new_tokens,
    }
    if plan_of(model, settings).speculation is None:
        return options | {"windows": (0,)}
    window = settings.options.get("window")
    return options if window is None else options | {"windows": (window,)}
