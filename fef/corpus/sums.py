"""The one form of worked answers: an operation a line, `48 / 2 = 24`, and the answer's line.

A small model learns a plan from few tokens and one way to write a step; small models were trained on GSM8K in equations alone
before (2311.01460).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fef.corpus.check import MARK, equations_of
from fef.corpus.expressions import Expression, evaluate, operands, parse
from fef.corpus.implied import implied_numbers, spoken_numbers
from fef.corpus.numerals import Number, decimals, exact, numerals, plain, split, value_of
from fef.eval.numbers import final_number, same_number

__all__ = ["as_sums", "by_digits", "is_explained", "once_each", "sum_lines"]

_MOST_DECIMALS = 4
_ALWAYS: frozenset[Number] = frozenset({1, 2, 100})


@dataclass(frozen=True)
class Pending:
    """A fraction, until it is known of what: 2 / 3 of 90 is 90 / 3 * 2."""

    above: Number
    below: Number


def as_sums(solution: str) -> str | None:
    """The calculator marks of a solution, or its equations if it has none, a line for each operation, and `#### answer`.

    None where one is unreadable, wrong or has a result below zero, or the last one is not the answer.
    """
    lines: list[str] = []
    for left, right in MARK.findall(solution) or equations_of(solution):
        expression, result = parse(left), parse(right)
        if expression is None or result is None or len(result) != 1:
            return None
        try:
            if evaluate(expression) != result[0]:
                return None
            lines += sum_lines(expression)
        except (ZeroDivisionError, ValueError):
            return None
    if not lines or not same_number(final_number(solution), lines[-1].rpartition("= ")[2]):
        return None
    return once_each([*lines, f"#### {lines[-1].rpartition('= ')[2]}"])


def is_explained(question: str, sums: Iterable[str], parts: bool = False) -> bool:
    """Whether each number of the sums is said in the question, brought along by its words, or a result of a sum before.

    parts: the digits of such a number count, too, at their places.
    """
    known = {numeral.value for numeral in numerals(split(question))} | spoken_numbers(question)
    known |= {exact(part) for value in known for part in percentage_forms(Fraction(value)) if part > 0}
    known |= implied_numbers(question) | _ALWAYS
    for line in sums:
        left, _, right = line.partition(" = ")
        given, result = parse(left), parse(right)
        assert given is not None and result is not None
        places = {part for value in known if parts and is_short(value) for part in place_values(value)}
        if not (known | places).issuperset(operands(given)):
            return False
        known |= {*operands(result)}
    return True


def percentage_forms(value: Fraction) -> Iterator[Fraction]:
    """What a solution may make of 20%, or of 20 cents: 0.2, 0.8, 1.2, 80, 120."""
    yield from (value / 100, 1 - value / 100, 1 + value / 100, 100 - value, 100 + value)


def sum_lines(expression: Expression) -> list[str]:
    """An expression as a line for each operation: `16 - 3 - 4` as `16 - 3 = 13`, `13 - 4 = 9`. Times one is left out.

    Raises ValueError for a result that is negative or has many decimals, ZeroDivisionError.
    """
    lines: list[str] = []
    stack: list[Number | Pending] = []

    def take(left: Number, right: Number, sign: str) -> Number:
        result = evaluate((left, right, sign))
        if not (sign in "*/" and right == 1) and not (sign == "*" and left == 1):
            first, second, last = (plain(value, _MOST_DECIMALS) for value in (left, right, result))
            lines.append(f"{first} {sign} {second} = {last}")
        return result

    def divided(above: Number, below: Number) -> Number | Pending:
        if is_short(evaluate((above, below, "/"))) and not above < below:
            return take(above, below, "/")
        return Pending(above, below)

    def settled(value: Number | Pending) -> Number | Pending:
        if isinstance(value, Pending) and is_short(evaluate((value.above, value.below, "/"))):
            return take(value.above, value.below, "/")
        return value

    def part_of(whole: Number, part: Pending) -> Number | Pending:
        if part.below != 100 and whole % part.below == 0:
            return take(take(whole, part.below, "/"), part.above, "*")
        return divided(take(whole, part.above, "*"), part.below)

    for token in expression:
        if not isinstance(token, str):
            stack.append(token)
            continue
        right, left = stack.pop(), stack.pop()
        if token == "*" and isinstance(left, Pending) and not isinstance(right, Pending) and right != 100:
            stack.append(part_of(right, left))
            continue
        if token == "*" and isinstance(right, Pending) and not isinstance(left, Pending) and left != 100:
            stack.append(part_of(left, right))
            continue
        left, right = settled(left), settled(right)
        if isinstance(left, Pending) and not isinstance(right, Pending) and token in "*/":
            above, below = (
                (take(left.above, right, "*"), left.below)
                if token == "*"
                else (left.above, take(left.below, right, "*"))
            )
            stack.append(divided(above, below))
        elif isinstance(right, Pending) and not isinstance(left, Pending) and token in "*/":
            above, below = (right.above, right.below) if token == "*" else (right.below, right.above)
            stack.append(divided(take(left, above, "*"), below))
        elif isinstance(left, Pending) or isinstance(right, Pending):
            raise ValueError("a division that does not come out")
        else:
            stack.append(divided(left, right) if token == "/" else take(left, right, token))
    if isinstance(settled(stack[0]), Pending):
        raise ValueError("a division that does not come out")
    return lines


def by_digits(sums: str) -> str:
    """The lines, with products of long numbers worked out by the digits of the shorter one.

    `23 * 14 = 322` becomes `23 * 10 = 230`, `23 * 4 = 92`, `230 + 92 = 322`.
    """
    lines = [part for line in sums.splitlines() for part in product_lines(line)]
    return once_each(lines)


def once_each(lines: Sequence[str]) -> str:
    """Each sum where it comes first; the last one, whose result is the answer, stays before the answer's line."""
    sums, end = [*dict.fromkeys(lines[:-2])], lines[-2:]
    return "\n".join([*sums, *(end[1:] if sums[-1:] == end[:1] else end)])


def product_lines(line: str) -> list[str]:
    left, _, right = line.partition(" = ")[0].partition(" * ")
    if not right:
        return [line]
    long, short = sorted(map(value_of, (left, right)), key=lambda factor: -len(significant(factor)))
    if len(significant(short)) < 2:
        return [line]
    products = [(part, long * part) for part in place_values(short)]
    lines = [f"{digits(long)} * {digits(part)} = {digits(product)}" for part, product in products if part != 1]
    total = products[0][1]
    for _, product in products[1:]:
        lines.append(f"{digits(total)} + {digits(product)} = {digits(total + product)}")
        total += product
    return lines


def digits(value: Number) -> str:
    return plain(exact(Fraction(value)), 2 * _MOST_DECIMALS)


def significant(value: Number) -> str:
    """The digits of a number without the zeros at its ends."""
    return plain(value, _MOST_DECIMALS).replace(".", "").strip("0")


def place_values(value: Number) -> list[Number]:
    """305 as 300 and 5, 2.5 as 2 and 0.5."""
    whole, _, parts = plain(value, _MOST_DECIMALS).partition(".")
    values = [
        Fraction(int(digit) * 10**power) for power, digit in zip(range(len(whole) - 1, -1, -1), whole, strict=True)
    ]
    values += [Fraction(int(digit), 10**power) for power, digit in enumerate(parts, 1)]
    return [exact(value) for value in values if value]


def is_short(value: Number) -> bool:
    places = decimals(value)
    return places is not None and places <= _MOST_DECIMALS
