"""What grammars cost: a round of the engine with one beside a round without, one request at a time, in the same run.

Both answer the same prompt on the same canvas, in rounds of one shape: but for the grammar, a round does the same work.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from cProfile import Profile
from dataclasses import dataclass, field
from inspect import unwrap
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
from fef.measure.table import Sheet, sheet_of
from fef.measure.timing import Stopwatch

__all__ = ["GRAMMARS", "GrammarCost", "grammar_costs", "grammar_sheet"]

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


@dataclass(frozen=True)
class GrammarCost:
    """Of one grammar. automaton: does a token automaton run it? Times in seconds: of compiling it the first time, and per
    round of the whole of it, of one without a grammar, and of what the host does for a grammar, which is hidden where a
    device runs the network meanwhile. tokens, plain_tokens: per pass, with and without a grammar."""

    name: str
    automaton: bool
    compile: float
    rounds: int
    round: float
    plain: float
    host: float
    hidden: bool
    tokens: float
    plain_tokens: float

    @property
    def ratio(self) -> float:
        """To a round without a grammar."""
        return self.round / self.plain

    @property
    def share(self) -> float:
        """Of a round, what it takes for the grammar: of the host's time, where nothing runs beside it."""
        return max(0.0, 1 - self.plain / self.round) if self.hidden else self.host / self.round


def grammar_costs(model: Model, requests: int, temperature: float, max_new_tokens: int) -> Iterator[GrammarCost]:
    """One cost for each of `GRAMMARS`, over so many requests behind one that warms up."""
    engine = model.engine(max_batch=1, windows=(WINDOW,))
    device = model.network.device.type
    _ = model.vocabulary.tree, model.grammar({"choice": ["warm"]})  # what all grammars share
    for name, given in GRAMMARS.items():
        compiled.cache_clear()
        watch = Stopwatch()
        grammar = model.grammar(given)
        seconds = watch.seconds
        asked: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        for seeds in (range(1), range(1, requests + 1)):  # the first warms up
            under, plain = Rounds(engine, asked | {"grammar": given}), Rounds(engine, asked)
            for seed in seeds:
                under.answer(seed)
                plain.answer(seed)
        yield GrammarCost(
            name=name,
            automaton=grammar.automaton is not None,
            compile=seconds,
            rounds=len(under.seconds),
            round=statistics.median(under.seconds),
            plain=statistics.median(plain.seconds),
            tokens=under.tokens / under.passes,
            plain_tokens=plain.tokens / plain.passes,
            host=host_seconds(under.answer, requests, ADDED[device]),
            hidden=device != "cpu",
        )


@dataclass
class Rounds:
    """Requests with these settings, one at a time: the seconds of their rounds, and tokens and passes of all."""

    engine: TextEngine
    asked: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    tokens: int = 0
    passes: int = 0

    def answer(self, seed: int) -> None:
        """Of the first rounds of a request, if it has more, the seconds do not count."""
        job = self.engine.submit(PROMPT, seed=seed, **self.asked)
        seconds = []
        while not job.job.finished:
            watch = Stopwatch()
            self.engine.step()
            seconds.append(watch.seconds)
        found = job.result()
        self.seconds += seconds[_SPILL:] or seconds[-1:]
        self.tokens += len(found.token_ids)
        self.passes += int(found.stats["calls"])


def host_seconds(answer: Callable[[int], None], requests: int, added: Sequence[Callable[..., Any]]) -> float:
    """Per round, what the host does for a grammar."""
    profile = Profile()
    profile.enable()
    for seed in range(1, requests + 1):
        answer(seed)
    profile.disable()
    # by function: calls, calls that are no recursion, own seconds, all seconds, and the same by caller
    found: dict[Any, Any] = Stats(profile).stats  # type: ignore[attr-defined]

    def seconds(function: Callable[..., Any]) -> float:
        return float(found.get(key_of(function), NEVER)[3])

    rounds: int = sum(found.get(key_of(each), NEVER)[1] for each in ROUNDS)
    spent = sum(map(seconds, added)) - sum(map(seconds, DRAWN_ANYWAY))
    return spent / rounds


ROUNDS: tuple[Callable[..., Any], ...] = (TorchPasses.run, GraphRunner.run)
"""Called once per packed pass, contexts among them, on a CPU and on a GPU."""

ADDED: dict[str, tuple[Callable[..., Any], ...]] = {
    "cpu": (drawn_queries, legal, move_on),
    "cuda": (Letter.read, PackedText.write_masks),
}
"""By device."""
DRAWN_ANYWAY: tuple[Callable[..., Any], ...] = (best_of,)  # drafts, which passes without grammars draw as well

NEVER: tuple[int, int, float, float, dict[Any, Any]] = (0, 0, 0.0, 0.0, {})


def key_of(function: Callable[..., Any]) -> tuple[str, int, str]:
    code = unwrap(function).__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def grammar_sheet(costs: Iterator[GrammarCost]) -> Sheet:
    columns: dict[str, Callable[[GrammarCost], str]] = {
        "grammar": lambda cost: cost.name,
        "run by": lambda cost: "token automaton" if cost.automaton else "llguidance",
        "compile, ms": lambda cost: f"{cost.compile * 1e3:.1f}",
        "rounds": lambda cost: str(cost.rounds),
        "round, ms": lambda cost: f"{cost.round * 1e3:.3f}",
        "without, ms": lambda cost: f"{cost.plain * 1e3:.3f}",
        "ratio": lambda cost: f"{cost.ratio:.3f}",
        "host, ms": lambda cost: f"{cost.host * 1e3:.3f}",
        "share": lambda cost: f"{100 * cost.share:.1f} %",
        "tokens per pass": lambda cost: f"{cost.tokens:.2f}",
        "tokens per pass without": lambda cost: f"{cost.plain_tokens:.2f}",
    }
    return sheet_of(costs, columns, words=("grammar", "run by"))
