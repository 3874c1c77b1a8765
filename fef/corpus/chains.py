"""Stories of several steps: one amount that begins, changes and is asked about, a sentence and a sum a step.

A story is a walk: a start, some moves, a question. Moves belong to a kind of amount (things that someone has, money, a price,
people, a distance, a time), and some lead to another kind (things are sold: now there is money). Each has its sum, and
the worked answer is the sums in order. Sentences have many wordings, so that two stories seldom share their words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from fef.corpus.chain_asks import ASIDES, ASKS
from fef.corpus.chain_moves import MOVES
from fef.corpus.chain_starts import STARTS
from fef.corpus.example import Solved
from fef.corpus.expressions import evaluate, parse
from fef.corpus.move import Move
from fef.corpus.numerals import Number, decimals, exact, plain
from fef.corpus.phrases import FRACTIONS, cast_of, chosen, number_words, told
from fef.corpus.sums import as_sums

__all__ = ["Story", "draw", "draw_numbers", "solved", "with_numbers", "worked"]

_MOVES = (0, 1, 1, 1, 2, 2, 2, 3)
_LARGEST = 20_000
_ASIDE = 0.15
_NAMED = 0.2
_BACKWARDS = 0.1
_TRIES = 6
_MOST_SUMS = 6
_DIVISORS = {"divisor": range(2, 25), "large-divisor": range(10, 71)}
_POINTS = re.compile(r"\{(?:[Hh]e|him|[Hh]is)\}")
_PERSON = re.compile(r"\{[ABCD]\}")
_SYMBOL = re.compile(r"\b[a-z]\b")


@dataclass
class Story:
    """What is told, the sums with calculator marks so far, and the amount that they lead to."""

    rng: random.Random
    words: Mapping[str, str]
    value: Number = 0
    sentences: list[str] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    others: bool = False  # whether the last sentences speak of someone else than A

    def tell(self, move: Move) -> bool:
        """Take a move; False, with nothing changed, where its numbers do not work out."""
        drawn = draw_numbers(move.numbers, self.value, self.rng)
        if drawn is None:
            return False
        numbers, words = drawn
        formula = with_numbers(move.sum, numbers)
        result = worked(formula)
        if result is None:
            return False
        self.say(move.text, {**self.words, **words}, numbers)
        if move.sum != "v":
            self.sums.append(f"<<{formula}={plain(result, 2)}>>")
        self.value = result
        return True

    def say(self, text: str, words: Mapping[str, str], numbers: Mapping[str, Number]) -> None:
        """Where a pronoun could be another's, or now and then, it is a name."""
        text = chosen(text, self.rng)
        if self.others or self.rng.random() < _NAMED:
            text = named(text)
        self.others = any(person != "{A}" for person in _PERSON.findall(text))
        self.sentences.append(told(text, words, numbers, self.rng))


def named(text: str) -> str:
    """A pattern with the name of A for its first pronoun, if no name stands before that."""
    found = _POINTS.search(text)
    if found is None or "{A}" in text[: found.start()]:
        return text
    return text[: found.start()] + ("{A}'s" if "is" in found[0] else "{A}") + text[found.end() :]


def draw(rng: random.Random) -> Solved | None:
    """A story with its question and worked answer; None where its numbers do not work out."""
    if rng.random() < _BACKWARDS:
        return draw_backwards(rng)
    story = Story(rng, cast_of(rng))
    kind = rng.choice(sorted(STARTS))
    if not any_of(story, STARTS[kind]):
        return None
    for _ in range(rng.choice(_MOVES)):
        if kind in MOVES and len(story.sums) < _MOST_SUMS:
            move = any_of(story, MOVES[kind])
            if move is None:
                return None
            kind = move.to or kind
    if rng.random() < _ASIDE:
        story.say(rng.choice(ASIDES), story.words, {name: rng.randint(3, 40) for name in "ab"})
    if not any_of(story, ASKS[kind]) or len(story.sums) < 2:
        return None
    return solved(story.sentences, story.sums, story.value)


def any_of(story: Story, moves: tuple[Move, ...]) -> Move | None:
    """A random move that works out and was not taken before, taken."""
    for _ in range(_TRIES):
        move = story.rng.choice(moves)
        if id(move) not in story.used and story.tell(move):
            story.used.add(id(move))
            return move
    return None


def draw_backwards(rng: random.Random) -> Solved | None:
    """A story told from the start to a known end, that asks for the start: the moves undone in turn."""
    kind = rng.choice(("things", "money", "people"))
    words, ask = cast_of(rng), BACKWARDS[kind]
    story = Story(rng, words, value=rng.randint(4, 30) * rng.choice((2, 4, 6, 12)))
    first = story.value
    undone: list[str] = []
    moves = tuple(move for move in MOVES[kind] if move.undo)
    for _ in range(rng.choice((1, 2, 2, 3))):
        move = rng.choice(moves)
        drawn = draw_numbers(move.numbers, story.value, rng)
        result = None if drawn is None else worked(with_numbers(move.sum, drawn[0]))
        if drawn is None or result is None or id(move) in story.used:
            return None
        story.used.add(id(move))
        story.say(move.text, {**words, **drawn[1]}, drawn[0])
        one_left = drawn[0].get("q", 0) - drawn[0].get("p", 0) == 1
        undo = move.undo.replace("/ ( q - p ) ", "") if one_left else move.undo
        undone.insert(0, with_numbers(undo, {**drawn[0], "v": result}))
        story.value = result
    story.say(ask[1], words, {"v": story.value})
    begins = told(ask[0], words, {}, rng)
    sums = [f"<<{formula}={plain(worked(formula) or 0, 2)}>>" for formula in undone]
    return solved([begins, *story.sentences], sums, first)


BACKWARDS: Mapping[str, tuple[str, str]] = {
    "things": (
        "{A} [had some|started with some|had a collection of] {u}.",
        "[Now {he} has {v} {u}.|That leaves {him} with {v} {u}.|In the end, {he} has {v} {u}.] How many {u} did {he} have "
        "[at first|to begin with|in the beginning|originally]?",
    ),
    "money": (
        "{A} [had some money in {his} wallet|went out with some money|had some savings].",
        "[Now {he} has ${v}.|{A} has ${v} left.|In the end, {he} has ${v}.] How [much money|many dollars] did {A} have [at "
        "first|to begin with|in the beginning|originally]?",
    ),
    "people": (
        "[There were some people|A crowd gathered|Some people were waiting] at the {place}.",
        "[Now there are {v} people there.|In the end, there are {v} people there.] How many people were there [at first|to "
        "begin with|in the beginning|originally]?",
    ),
}


def solved(sentences: list[str], sums: list[str], answer: Number) -> Solved | None:
    solution = "\n".join([*sums, f"#### {plain(answer, 2)}"])
    return None if answer == 1 or as_sums(solution) is None else Solved(" ".join(sentences), solution)


def with_numbers(formula: str, numbers: Mapping[str, Number]) -> str:
    return _SYMBOL.sub(lambda found: plain(numbers[found[0]], 2), formula)


def worked(formula: str) -> Number | None:
    """The value of a formula; None for one that is not positive, not short, or too large."""
    expression = parse(formula)
    assert expression is not None, formula
    value = evaluate(expression)
    places = decimals(value)
    return value if places is not None and places <= 2 and 0 < value <= _LARGEST else None


def draw_numbers(wanted: str, value: Number, rng: random.Random) -> tuple[dict[str, Number], dict[str, str]] | None:
    """The numbers that are wanted, and those that stand in words; None where the amount allows none."""
    numbers: dict[str, Number] = {"v": value}
    words: dict[str, str] = {}
    for part in wanted.split():
        name, _, kind = part.partition(":")
        if kind == "fraction":
            fitting = [(p, q) for p, q in FRACTIONS if value % q == 0]
            if not fitting:
                return None
            p, q = rng.choice(fitting)
            numbers |= {"p": p, "q": q}
            words["f"] = rng.choice(FRACTIONS[p, q])
        elif kind == "times":
            numbers[name] = times = rng.choice((2, 2, 3, 3, 4, 5, 6))
            words[f"{name}_times"] = number_words(times, rng)
        else:
            found = one_number(kind, numbers, rng)
            if found is None:
                return None
            numbers[name] = found
    return numbers, words


def one_number(kind: str, numbers: Mapping[str, Number], rng: random.Random) -> Number | None:
    """`2-12` and `10-60/5` name a range and its step; the other kinds depend on the amount v."""
    value = numbers["v"]
    if kind == "below":
        return rng.randint(2, int(value) - 2) if value >= 5 else None
    if kind == "little":
        return rng.randint(2, max(2, int(value) // 4)) if value >= 8 else None
    if kind == "above":
        return int(value) + rng.randint(2, max(10, int(value)))
    if kind in _DIVISORS:
        divisors = [d for d in _DIVISORS[kind] if value % d == 0 and value > d]
        return rng.choice(divisors) if divisors else None
    if kind == "sharers":
        fitting = [d - 1 for d in range(3, 12) if value % d == 0]
        return rng.choice(fitting) if fitting else None
    if kind == "smallpercent":
        percents = [p for p in (5, 10, 20) if (value * p) % 100 == 0]
        return rng.choice(percents) if percents else None
    if kind == "price":
        return exact(
            rng.choice(
                (Fraction(rng.randint(2, 50), 10), Fraction(rng.randint(2, 40), 4), Fraction(rng.randint(3, 30), 2))
            )
        )
    if kind == "discount":
        percents = [p for p in range(5, 55, 5) if (value * p) % 100 == 0]
        return rng.choice(percents) if percents else None
    if kind == "percent":
        percents = [p for p in range(5, 100, 5) if (value * p) % 100 == 0]
        return rng.choice(percents) if percents else None
    bounds, _, step = kind.partition("/")
    low, high = map(int, bounds.split("-"))
    size = int(step or 1)
    return low + size * rng.randint(0, (high - low) // size)
