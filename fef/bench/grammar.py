"""What grammars cost: their share of the time of a round of the engine, one request at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from cProfile import Profile
from dataclasses import dataclass
from inspect import unwrap
from pstats import Stats
from typing import Any

from fef.decoding.draft import drawn_in_turn
from fef.decoding.grammar import GrammarRows
from fef.decoding.loop import round_of
from fef.decoding.session import Session
from fef.engine.packed_drafts import draft, move_on
from fef.engine.packed_texts import drawn_queries, legal
from fef.engine.runner import TorchPasses
from fef.generation import Model
from fef.grammar.compiled import compiled
from fef.laws.pipeline import constrained
from fef.measure.table import Sheet

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


@dataclass(frozen=True)
class GrammarCost:
    """Of one grammar. automaton: does a token automaton run it? Times in seconds: of compiling it the first time, and per
    round the whole of it and what the grammar adds: what is allowed, and the law put on it, and the mass that it leaves."""

    name: str
    automaton: bool
    compile: float
    rounds: int
    round: float
    grammar: float

    @property
    def share(self) -> float:
        return self.grammar / self.round


def grammar_costs(model: Model, requests: int, temperature: float, max_new_tokens: int) -> Iterator[GrammarCost]:
    """One cost for each of `GRAMMARS`, over so many requests behind one that warms up."""
    engine = model.engine()
    _ = model.vocabulary.tree, model.grammar({"choice": ["warm"]})  # what all grammars share
    for name, given in GRAMMARS.items():
        compiled.cache_clear()
        began = time.perf_counter()
        grammar = model.grammar(given)
        seconds = time.perf_counter() - began

        def answer(seed: int, given: dict[str, Any] = given) -> None:
            asked: dict[str, Any] = {
                "max_new_tokens": max_new_tokens,
                "temperature": temperature,
                "seed": seed,
                "grammar": given,
            }
            engine.submit(PROMPT, **asked).result()

        answer(0)
        rounds, whole, part = profiled(answer, requests)
        yield GrammarCost(name, grammar.automaton is not None, seconds, rounds, whole, part)


def profiled(answer: Callable[[int], None], requests: int) -> tuple[int, float, float]:
    """Rounds, and seconds per round: the whole, and what grammars add."""
    profile = Profile()
    profile.enable()
    for seed in range(1, requests + 1):
        answer(seed)
    profile.disable()
    # by function: calls, calls that are no recursion, own seconds, all seconds, and the same by caller
    found: dict[Any, Any] = Stats(profile).stats  # type: ignore[attr-defined]

    def seconds(function: Callable[..., Any]) -> float:
        return float(found.get(key_of(function), NEVER)[3])

    rounds = sum(found.get(key_of(each), NEVER)[1] for each in ROUNDS)
    part = sum(map(seconds, ADDED)) - sum(map(seconds, DRAWN_ANYWAY))
    part += found.get(key_of(constrained), NEVER)[4].get(key_of(drawn_in_turn), NEVER)[3]
    return rounds, sum(map(seconds, ROUNDS)) / rounds, part / rounds


ROUNDS: tuple[Callable[..., Any], ...] = (TorchPasses.pass_, round_of)
"""Packed passes, contexts among them, and rounds of sessions."""

ADDED: tuple[Callable[..., Any], ...] = (
    drawn_queries,
    legal,
    move_on,
    Session.legal,
    GrammarRows.weigh,
    GrammarRows.allowed_behind,
)
DRAWN_ANYWAY: tuple[Callable[..., Any], ...] = (draft,)  # drafts, which passes without grammars draw as well

NEVER: tuple[int, int, float, float, dict[Any, Any]] = (0, 0, 0.0, 0.0, {})


def key_of(function: Callable[..., Any]) -> tuple[str, int, str]:
    code = unwrap(function).__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def grammar_sheet(costs: Iterator[GrammarCost]) -> Sheet:
    header = ("grammar", "run by", "compile, ms", "rounds", "round, ms", "of it for the grammar, ms", "share")
    lines = [
        [
            cost.name,
            "token automaton" if cost.automaton else "llguidance",
            f"{cost.compile * 1e3:.1f}",
            str(cost.rounds),
            f"{cost.round * 1e3:.1f}",
            f"{cost.grammar * 1e3:.2f}",
            f"{100 * cost.share:.1f} %",
        ]
        for cost in costs
    ]
    return Sheet(header, lines, words=header[:2])
