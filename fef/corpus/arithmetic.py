"""Plain sums, worked out as the solutions of problems are: where small models err most."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

from fef.corpus.example import CorpusExample, exchange
from fef.corpus.expressions import evaluate, parse
from fef.corpus.numerals import exact, plain
from fef.corpus.sums import by_digits, sum_lines

__all__ = ["draw"]

# A sum as it is asked, and the expression that it is.
Sum = tuple[str, str]
_ASKS = ("What is {}?", "Calculate {}.", "Work out {}.", "How much is {}?", "Compute {}.", "{} = ?")
_LIST_ASKS = ("Work out: {}.", "Calculate each: {}.", "Solve these: {}.", "Give the results of {}.")
_LISTS = 0.5
_LISTED = range(4, 9)  # sums of a list
_MOST_LINES = 8
_TIMES_TABLE = 12


def draw(source: str, rng: random.Random) -> CorpusExample | None:
    """A sum with `#### answer`, or a list of short ones, a line each; None where one has too many lines."""
    if rng.random() < _LISTS:
        sums = [rng.choice(_SHORT)(rng) for _ in range(rng.choice(_LISTED))]
        asked = "; ".join(asked for asked, _ in sums)
        results = "\n".join(f"{asked} = {result_of(asked)}" for asked, _ in sums)
        return exchange(source, rng.choice(_LIST_ASKS).format(asked), results)
    asked, formula = rng.choices(_SUMS, _WEIGHTS)[0](rng)
    expression = parse(formula)
    assert expression is not None
    worked = by_digits("\n".join([*sum_lines(expression), f"#### {result_of(formula)}"]))
    if not 1 < len(worked.splitlines()) <= _MOST_LINES:
        return None
    return exchange(source, rng.choice(_ASKS).format(asked), worked)


def result_of(formula: str) -> str:
    expression = parse(formula)
    assert expression is not None
    return plain(evaluate(expression), 4)


def sized(rng: random.Random, low: int = 2) -> int:
    """A whole number of one to four digits, small ones as often as large ones; one in five is round."""
    value = rng.randint(low, rng.choice((9, 20, 99, 99, 999, 999)))
    return 10 * value if rng.random() < 0.2 else value


def same(formula: str) -> Sum:
    return formula, formula


def addition(rng: random.Random) -> Sum:
    return same(f"{sized(rng)} + {sized(rng)}")


def several(rng: random.Random) -> Sum:
    return same(" + ".join(str(sized(rng)) for _ in range(rng.randint(3, 5))))


def subtraction(rng: random.Random) -> Sum:
    right = sized(rng)
    return same(f"{right + sized(rng, 1)} - {right}")


def product(rng: random.Random) -> Sum:
    return same(f"{sized(rng)} * {rng.randint(2, 12)}")


def long_product(rng: random.Random) -> Sum:
    return same(f"{rng.randint(11, rng.choice((99, 999)))} * {rng.randint(11, 99)}")


def division(rng: random.Random) -> Sum:
    right = rng.choice((rng.randint(2, 12), rng.randint(2, 60)))
    result = sized(rng) if right <= _TIMES_TABLE else rng.randint(2, 99)
    return same(f"{right * result} / {right}")


def part_division(rng: random.Random) -> Sum:
    """One that leaves halves, quarters, fifths or tenths."""
    right = rng.choice((2, 4, 5, 8, 10, 20))
    return same(f"{sized(rng)} / {right}")


def percentage(rng: random.Random) -> Sum:
    percent, base = 5 * rng.randint(1, 19), 10 * rng.randint(1, 60)
    return f"{percent}% of {base}", f"{base} * {percent} / 100"


def changed_by_percentage(rng: random.Random) -> Sum:
    percent, base = 5 * rng.randint(1, 19), 20 * rng.randint(1, 40)
    word, sign = rng.choice((("less", "-"), ("more", "+")))
    return f"{percent}% {word} than {base}", f"{base} {sign} {base} * {percent} / 100"


def fraction(rng: random.Random) -> Sum:
    below = rng.randint(2, 10)
    above, part = rng.randint(1, below - 1), rng.randint(2, 40)
    return f"{above}/{below} of {below * part}", f"{below * part} / {below} * {above}"


def money(rng: random.Random) -> Sum:
    cents, count = rng.choice((rng.randint(5, 199) * 5, rng.randint(1, 39) * 25)), rng.randint(2, 12)
    return same(f"{count} * {plain(exact(Fraction(cents, 100)), 2)}")


def decimal_sum(rng: random.Random) -> Sum:
    places = rng.choice((10, 100))
    left, right = sorted((Fraction(rng.randint(1, 99 * places // 10), places) for _ in range(2)), reverse=True)
    operator = "-" if left != right and rng.random() < 0.5 else "+"
    return same(f"{plain(exact(left), 2)} {operator} {plain(exact(right), 2)}")


def mixed(rng: random.Random) -> Sum:
    factor, times, other = rng.randint(2, 20), rng.randint(2, 12), sized(rng)
    operator = "-" if factor * times > other and rng.random() < 0.5 else "+"
    return same(f"{factor} * {times} {operator} {other}")


# Those that are done in one step.
_SHORT = (addition, addition, subtraction, subtraction, product, product, division, part_division, money, decimal_sum)
_SUMS: tuple[Callable[[random.Random], Sum], ...] = (
    *(addition, several, subtraction, product, long_product, division, part_division),
    *(percentage, changed_by_percentage, fraction, money, decimal_sum, mixed),
)
_WEIGHTS = (4, 3, 5, 5, 7, 7, 2, 3, 2, 3, 3, 3, 3)
