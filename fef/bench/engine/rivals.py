"""Decoders of the reference loop on the same problems: as they run, and with nothing but the bare time of their passes.

Idealised, a decoder has a full batch in every pass, each pass takes what it takes as the replay of a graph with the head at
one slot, and a pass of fewer tokens (a cache) takes its share of that by tokens, but no less than its weights take to be
read at copy bandwidth. Nothing is drawn, chosen, committed or copied. All of that favours the decoder over the engine,
whose time is that of the clock on the wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.api import certify
from fef.bench.engine.serving import LOOP, Served, peak_memory, served
from fef.bench.evaluate import Answer, Judge, Settings, evaluate
from fef.bench.spec import MethodSpec
from fef.decoders import read_given
from fef.generation import Model
from fef.tasks import Problem

__all__ = ["DEFAULT_RIVALS", "PassCosts", "check_rivals", "ideal_seconds", "run_rival"]

DEFAULT_RIVALS = ("sequential", "low-confidence", "threshold:cache=dual,block_length=32", "dual")


@dataclass(frozen=True)
class PassCosts:
    """full: seconds of a plain pass of `batch` canvases of `length` tokens. weights: seconds to read the weights."""

    batch: int
    length: int
    full: float
    weights: float


def check_rivals(model: Model, specs: Sequence[MethodSpec], settings: Settings) -> None:
    """Raise OptionError for a method or an option that the model cannot run, before anything runs."""
    for spec in specs:
        read_given(spec.name, spec.options)
        certify(model.network, method=spec.name, temperature=settings.temperature, top_p=settings.top_p, **spec.options)


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
    memory = peak_memory(model.network.device)
    return served(batch, spec.label, LOOP, result.answers, result.seconds, memory=memory, ideal_seconds=ideal)


def ideal_seconds(answers: Sequence[Answer], costs: PassCosts) -> float:
    """Seconds of all the answers, idealised."""
    least = min(costs.weights, costs.full)
    by_tokens = costs.full / costs.length
    return sum(max(a.calls * least, a.token_forwards * by_tokens) for a in answers) / costs.batch
