"""A solved problem as a template: which numbers may change, and which follow from them.

The solution holds calculator marks, `<<16-3-4=9>>9`, as GSM8K does. Each value of question and solution must have one
meaning: given in the question, implied by a word (60 with minutes), derived from a percentage, or the result of a mark.
Numbers of the question that are equal change together. Where a value has two meanings that differ, the numbers that they
depend on stay.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise

from fef.corpus.check import MARK
from fef.corpus.expressions import Expression, evaluate, operands, parse
from fef.corpus.implied import implied_numbers, spoken_numbers
from fef.corpus.numerals import Number, Numeral, Piece, decimals, numerals, split
from fef.corpus.quantities import Range, is_cents, is_percentage, range_of, unit_of

__all__ = ["Refused", "Step", "Template", "template_of"]

# Solutions that compare, round or solve for a letter hold for their own numbers only.
_COMPARES = re.compile(
    r"\b(?:round(?:s|ed|ing)?|cheap(?:er|est)|maximum|minimum|at (?:least|most)|no more than|exceeds?|nearest|remainder"
    r"|(?:is|are|was|were) (?:less|greater|larger|smaller|more|fewer) than|prime|factors?|multiples?|divisible|odd"
    r"|even numbers?|leap year|probability|chance|median|mode|ratio|consecutive|exponential(?:ly)?|squared|cubed|power of"
    r"|square roots?|pattern|sequence|variable|equation|let [a-z]\b)\b|[\u2264\u2265<>\u2248^]|\*\*",
    re.IGNORECASE,
)
# Words of a question that hold for its own prices or amounts only.
_CONDITIONS = re.compile(r"\b(?:rounded|ratio|cheap(?:er|est)|better deal|afford)\b", re.IGNORECASE)
# A result in words would not change with its digits.
_LARGE_IN_WORDS = re.compile(
    r"\b(?:twent|thirt|fort|fift|sixt|sevent|eight|ninet)y\b|\bhundred\b|\bthousand\b", re.IGNORECASE
)
_LETTERS = re.compile(
    r"(?:^|[\s(=+*/-])\d*[a-zA-Z]\s?[=+*/]|[=+*/]\s?\d*[b-zA-Z](?![\w.$£€])|\d[a-zB-KN-Z](?![a-z])(?!m\b)"
)
_NEGATIVE = re.compile(r"(?:[=(]|^)\s*-\s?\$?\d")
_RANGE = re.compile(r"\d\s?(?:-|\u2013|to)\s?\$?\d")
_SHADOWS = 3
_MOST_DECIMALS = 3
_CHANCE = 12


class Refused(Exception):
    """A problem that no template can be made of, and why."""


@dataclass(frozen=True)
class Step:
    """A value of the original and how it follows from others; places: the most digits that it may have behind the point;
    percentage: it may not pass 100."""

    value: Number
    expression: Expression
    places: int
    percentage: bool


@dataclass(frozen=True)
class Template:
    """A problem whose numbers can change.

    ranges: what each free number may become; constants: the numbers that stay; steps: what follows, in order; ascending:
    pairs of numbers of which the first stays below the second.
    """

    question: list[Piece]
    solution: list[Piece]
    ranges: Mapping[Number, tuple[Range, ...]]
    constants: frozenset[Number]
    steps: tuple[Step, ...]
    ascending: tuple[tuple[Number, Number], ...]


def template_of(question: str, solution: str) -> Template:
    """The template of a solved problem with calculator marks. Raises Refused."""
    prose = MARK.sub("", solution)
    refuse_text(question, prose)
    grouped = "," in "".join(re.findall(r"\d(,)\d{3}", question + prose))
    asked, solved = split(question, grouped), split(solution, grouped)
    results = marks(solution)
    ranges = free_numbers(asked, {number for step in results for number in operands(step[1])}, question + " " + prose)
    steps, constants = resolve(asked, solved, results, ranges, question + " " + prose)
    refuse_relations(asked, ranges, steps)
    return Template(asked, solved, ranges, constants, tuple(steps), tuple(ascending_pairs(asked, ranges)))


def refuse_text(question: str, prose: str) -> None:
    if _COMPARES.search(prose) or _LETTERS.search(prose) or _CONDITIONS.search(question):
        raise Refused("the solution compares, rounds or solves for a letter")
    if _LARGE_IN_WORDS.search(prose):
        raise Refused("the solution has large numbers in words")
    if _NEGATIVE.search(prose) or _NEGATIVE.search(question):
        raise Refused("negative number")
    if _RANGE.search(question):
        raise Refused("range of numbers")


def marks(solution: str) -> list[tuple[Number, Expression]]:
    """Result and expression of every mark. Raises Refused unless each is exact and the last one is the answer."""
    found: list[tuple[Number, Expression]] = []
    for left, right in MARK.findall(solution):
        expression, result = parse(left), parse(right)
        if expression is None or result is None or len(result) != 1:
            raise Refused("unreadable mark")
        try:
            value = evaluate(result)
            equal = evaluate(expression) == value
        except ZeroDivisionError:
            raise Refused("division by zero") from None
        if not equal or value <= 0 or (decimals(value) or 0) > _MOST_DECIMALS:
            raise Refused("inexact or not positive result")
        found.append((value, expression))
    answer = parse(solution.rpartition("####")[2].replace("$", ""))
    if not found or solution.count("<<") != len(found):
        raise Refused("no marks")
    if answer != (found[-1][0],):
        raise Refused("the answer is not the last result")
    return found


def free_numbers(asked: list[Piece], used: Collection[Number], text: str) -> dict[Number, tuple[Range, ...]]:
    """The numbers of a question that may change, with a range for each place where they stand. Raises Refused for none."""
    bound = spoken_numbers(text) | implied_numbers(text)
    ranges: dict[Number, tuple[Range, ...]] = {}
    kept: set[Number] = set()
    for at, piece in enumerate(asked):
        if isinstance(piece, Numeral):
            found = range_of(asked, at)
            if found is None or piece.value in bound or piece.value not in used:
                kept.add(piece.value)
            else:
                ranges[piece.value] = (*ranges.get(piece.value, ()), found)
    kept |= tied_numbers(asked)
    free = {value: found for value, found in ranges.items() if value not in kept}
    if not free:
        raise Refused("no number may change")
    return free


def tied_numbers(asked: list[Piece]) -> set[Number]:
    """Numbers of a question that seem to be tied by its story: percentages that make up 100, and a sum or product with its
    parts. Small sums are more often chance."""
    given = sorted({numeral.value for numeral in numerals(asked)})
    shares = sorted({p.value for at, p in enumerate(asked) if isinstance(p, Numeral) and is_percentage(asked, at)})
    wholes = [parts for size in (2, 3) for parts in combinations(shares, size) if sum(parts) == 100]
    sums = [
        (a, b, c) for a, b in combinations(given, 2) for c in (a + b, a * b) if c in given and c > _CHANCE and a > 1
    ]
    return {number for tied in (*wholes, *sums) for number in tied}


def resolve(
    asked: list[Piece],
    solved: list[Piece],
    results: list[tuple[Number, Expression]],
    ranges: dict[Number, tuple[Range, ...]],
    text: str,
) -> tuple[list[Step], frozenset[Number]]:
    """The steps and constants of a template. Takes from `ranges` the numbers that values of two meanings depend on."""
    while ranges:
        meanings = Meanings(asked, solved, ranges, text)
        clash = meanings.add_results(results)
        if not clash:
            meanings.explain_rest()
            return meanings.steps, frozenset(meanings.constants)
        for number in clash:
            ranges.pop(number, None)
    raise Refused("a number has two meanings")


class Meanings:
    """What each value of a problem depends on.

    Two meanings of a value are the same if they stay equal when the free numbers take other values: each value has a few
    `shadows`, its values under random other numbers.
    """

    def __init__(self, asked: list[Piece], solved: list[Piece], ranges: Collection[Number], text: str) -> None:
        rng = random.Random(0)
        given = {numeral.value for numeral in numerals(asked)}
        self.asked, self.text = asked, text
        self.written = {numeral.value for numeral in numerals(solved)}
        self.places = {v: max(n.places for n in numerals(solved) if n.value == v) for v in self.written}
        self.percentages = {
            p.value for at, p in enumerate(solved) if isinstance(p, Numeral) and is_percentage(solved, at)
        }
        self.unsaid = spoken_numbers(text) | implied_numbers(text) | {1, 2}
        self.constants = (given - {*ranges}) | (self.unsaid & self.written)
        self.shadows: list[dict[Number, Number]] = [{c: c for c in self.constants} for _ in range(_SHADOWS)]
        self.leaves: dict[Number, frozenset[Number]] = dict.fromkeys(self.constants, frozenset())
        for number in ranges:
            for shadow in self.shadows:
                shadow[number] = Fraction(rng.randint(10**6, 10**9), 10**6 + 3)
            self.leaves[number] = frozenset([number])
        self.steps: list[Step] = []

    def add_results(self, results: Iterable[tuple[Number, Expression]]) -> frozenset[Number]:
        """Take the marks in turn; returns the free numbers behind the first value with two meanings, or none."""
        for value, expression in results:
            for number in operands(expression):
                if number not in self.leaves:
                    self.explain(number)
            if clash := self.add(value, expression):
                return clash
        return frozenset()

    def explain_rest(self) -> None:
        for number in sorted(self.written - self.leaves.keys()):
            self.explain(number)

    def add(self, value: Number, expression: Expression) -> frozenset[Number]:
        leaves = frozenset(leaf for number in operands(expression) for leaf in self.leaves[number])
        shadows = [evaluate(expression, shadow) for shadow in self.shadows]
        if value not in self.leaves:
            self.leaves[value] = leaves
            for shadow, new in zip(self.shadows, shadows, strict=True):
                shadow[value] = new
        elif shadows != [shadow[value] for shadow in self.shadows] and not stays_one(value, self.leaves[value]):
            return leaves | self.leaves[value]
        places = max(decimals(value) or 0, self.places.get(value, 0))
        self.steps.append(Step(value, expression, places, value in self.percentages and value <= 100))
        return frozenset()

    def explain(self, number: Number) -> None:
        """Take a number that is neither given nor a result as made of a percentage or of cents. Raises Refused."""
        parts = [(cents, 100, "/") for cents in self.given(is_cents)]
        found = [e for e in (*parts, *self.percentage_forms()) if evaluate(e) == number]
        if len(found) != 1:
            raise Refused("a number without a meaning")
        for constant in (1, 100):
            self.constants.add(constant)
            self.leaves.setdefault(constant, frozenset())
            for shadow in self.shadows:
                shadow.setdefault(constant, constant)
        self.add(number, found[0])

    def percentage_forms(self) -> Iterator[Expression]:
        for percentage in self.given(is_percentage):
            yield from derived(percentage)

    def given(self, kind: Callable[[list[Piece], int], bool]) -> list[Number]:
        asked = self.asked
        return sorted({p.value for at, p in enumerate(asked) if isinstance(p, Numeral) and kind(asked, at)})


def stays_one(value: Number, leaves: Collection[Number]) -> bool:
    """Whether a result may be taken for a constant of its value: a result of one is one under all numbers."""
    return value == 1 and not leaves


def derived(percentage: Number) -> Iterator[Expression]:
    """What a solution makes of 20% without saying so: 0.2, 80, 0.8, 120, 1.2."""
    yield (percentage, 100, "/")
    yield (100, percentage, "-")
    yield (100, percentage, "-", 100, "/")
    yield (100, percentage, "+")
    yield (100, percentage, "+", 100, "/")


def refuse_relations(asked: list[Piece], ranges: Collection[Number], steps: list[Step]) -> None:
    """Raises Refused where a number that no step uses follows from two that may change: 8 girls, 12 boys, 20 children."""
    given = {numeral.value for numeral in numerals(asked)}
    used = {number for step in steps for number in operands(step.expression)}
    changing = {*ranges} | {step.value for step in steps}
    for number in given - used:
        if number > 2 and any(number in (a + b, a * b) for a in changing for b in given | changing if b != number):
            raise Refused("a number that the solution does not use follows from others")


def ascending_pairs(asked: list[Piece], ranges: Collection[Number]) -> Iterator[tuple[Number, Number]]:
    """Pairs of neighbouring size among the free numbers, and those that count the same unit as one that stays."""
    units: dict[Number, set[str]] = {}
    for at, piece in enumerate(asked):
        if isinstance(piece, Numeral):
            units.setdefault(piece.value, set()).add(unit_of(asked, at))
    free = sorted(ranges)
    yield from pairwise(free)
    for number in units.keys() - {*free}:
        for other in free:
            if (units[number] & units[other]) - {""}:
                yield (min(number, other), max(number, other))
