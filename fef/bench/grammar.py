"""What grammars cost: a round of the engine with one beside a round without, one request at a time, in the same run.

Both answer the same prompt on the same canvas, in rounds of one shape: but for the grammar, a round does the same work.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from cProfile import Profile
from functools import partial
from inspect import unwrap
from itertools import chain
from pstats import Stats
from typing import Any

from fef.engine.draws import drawn_queries, legal
from fef.engine.graphs import GraphRunner
from fef.engine.packed_drafts import best_of, move_on
from fef.engine.packed_texts import Letter, PackedText
from fef.engine.runner import TorchPasses
from fef.engine.text import TextEngine
from fef.generation import Model
from fef.grammar.compiled import compiled
from fef.measure.timing import Stopwatch
from fef.text import Generation

__all__ = ["GRAMMARS", "grammar_costs"]

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["name", "age", "city"],
}
TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "required": ["name"],
    "additionalProperties": False,
}
GRAMMARS: dict[str, dict[str, Any]] = {
    "a JSON schema": {"json": PERSON},
    "a list of choices": {"choice": ["The answer is yes.", "The answer is no.", "Nobody knows the answer."]},
    "any JSON object": {"json": {"type": "object"}},
    "a recursive JSON schema": {"json": {"$defs": {"tree": TREE}, "$ref": "#/$defs/tree"}},
    "sums, by Lark rules": {"grammar": 'start: term (" + " term)*\nterm: /[0-9]+/ | "(" start ")"'},
}
PROMPT = "Write a JSON record of a person.\n"
WINDOW = 16
_SPILL = 3  # rounds at the start of a request that the device may still owe to its context


def grammar_costs(model: Model, requests: int, temperature: float, max_new_tokens: int) -> Iterator[dict[str, str]]:
    """What stands in a line of the table, for each of `GRAMMARS`, over so many requests behind one that warms up.

    *compile*: the first time. *round*, *without*: the median round of the engine under the grammar and without one. *host*:
    what the host does for it per round. *share*: of a round, what it takes for the grammar: where a device runs the network
    meanwhile, what the round takes longer than one without, else of the host's time.
    """
    engine = model.engine(max_batch=1, windows=(WINDOW,))
    device = model.network.device.type
    _ = model.vocabulary.tree, model.grammar({"choice": ["warm"]})  # what all grammars share
    for name, given in GRAMMARS.items():
        compiled.cache_clear()
        watch = Stopwatch()
        grammar = model.grammar(given)
        seconds = watch.seconds
        plain: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        under = plain | {"grammar": given}
        pairs = [(answered(engine, under, seed), answered(engine, plain, seed)) for seed in range(requests + 1)]
        (times, tokens), (plain_times, plain_tokens) = map(pooled, zip(*pairs[1:], strict=True))  # the first warmed up
        round_, without = statistics.median(times), statistics.median(plain_times)
        host = host_seconds(partial(answered, engine, under), requests, ADDED[device])
        share = host / round_ if device == "cpu" else max(0.0, 1 - without / round_)
        yield {
            "grammar": name,
            "run by": "llguidance" if grammar.automaton is None else "token automaton",
            "compile, ms": f"{seconds * 1e3:.1f}",
            "rounds": str(len(times)),
            "round, ms": f"{round_ * 1e3:.3f}",
            "without, ms": f"{without * 1e3:.3f}",
            "ratio": f"{round_ / without:.3f}",
            "host, ms": f"{host * 1e3:.3f}",
            "share": f"{100 * share:.1f} %",
            "tokens per pass": f"{tokens:.2f}",
            "tokens per pass without": f"{plain_tokens:.2f}",
        }


def answered(engine: TextEngine, asked: dict[str, Any], seed: int) -> tuple[list[float], Generation]:
    """The seconds of the rounds of a request, without the first ones if it has more, and the answer."""
    job = engine.submit(PROMPT, seed=seed, **asked)
    seconds = []
    while not job.job.finished:
        watch = Stopwatch()
        engine.step()
        seconds.append(watch.seconds)
    return seconds[_SPILL:] or seconds[-1:], job.result()


def pooled(found: Sequence[tuple[list[float], Generation]]) -> tuple[list[float], float]:
    """The seconds of all rounds, and tokens per pass of all answers."""
    seconds, outs = zip(*found, strict=True)
    return [*chain(*seconds)], sum(len(out.token_ids) for out in outs) / sum(out.stats["calls"] for out in outs)


def host_seconds(answer: Callable[[int], object], requests: int, added: Sequence[Callable[..., Any]]) -> float:
    """Per round, what the host does for a grammar: in these functions, but for drafts, which passes without one draw too."""
    profile = Profile()
    profile.enable()
    for seed in range(1, requests + 1):
        answer(seed)
    profile.disable()
    # by function: calls, calls that are no recursion, own seconds, all seconds
    found: dict[Any, Any] = Stats(profile).stats  # type: ignore[attr-defined]

    def of(function: Callable[..., Any], column: int) -> float:
        code = unwrap(function).__code__
        never = (0, 0, 0.0, 0.0)
        return float(found.get((code.co_filename, code.co_firstlineno, code.co_name), never)[column])

    rounds = of(TorchPasses.run, 1) + of(GraphRunner.run, 1)  # once per packed pass, contexts among them
    return (sum(of(function, 3) for function in added) - of(best_of, 3)) / rounds


ADDED: dict[str, tuple[Callable[..., Any], ...]] = {
    "cpu": (drawn_queries, legal, move_on),
    "cuda": (Letter.read, PackedText.write_masks),
}
"""By device."""
