"""One way to take a percentage: 25% of 80 is `80 * 25 = 2000`, `2000 / 100 = 20`.

Solutions write `80 * 0.25`, `25 / 100 = 0.25` before that, or `80 * 25 * 0.01`. A model that learns one way has less to
learn, and whole numbers are easier than decimals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

from fef.corpus.numerals import Number, exact, numerals, plain, split, value_of
from fef.corpus.sums import once_each

__all__ = ["by_hundredths"]

_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)(?:%| ?percent\b)")
_SUM = re.compile(r"(?P<left>\S+) (?P<sign>[-+*/]) (?P<right>\S+) = (?P<result>\S+)$")
_MOST_DECIMALS = 4


def by_hundredths(question: str, sums: str) -> str:
    """The lines, with products by a percentage of the question told as products by its number, over a hundred."""
    parts = percentages(question)
    lines = [line for sum_line in sums.splitlines() for line in product_lines(sum_line, parts)]
    used = Counter(operand for line in lines for operand in operands(line))
    *steps, last, answer = lines
    needed = [line for line in steps if not gives_part(line, parts) or used[result_of(line)]]
    return once_each([*needed, last, answer])


def percentages(question: str) -> Mapping[Number, Number]:
    """The percentages of a question by their share of one, but for shares that it tells as numbers, too, as prices are."""
    said = {numeral.value for numeral in numerals(split(question))}
    found = (value_of(match) for match in _PERCENTAGE.findall(question))
    shares = {exact(Fraction(value) / 100): value for value in found if value != 100}
    return {share: value for share, value in shares.items() if share not in said}


def product_lines(line: str, parts: Mapping[Number, Number]) -> list[str]:
    found = _SUM.match(line)
    if found is None or found["sign"] != "*":
        return [line]
    factors = value_of(found["left"]), value_of(found["right"])
    hundredth = exact(Fraction(1, 100))
    for one, other in (factors, factors[::-1]):
        if one == hundredth and other != 100 and other not in parts.values():
            return [f"{digits(other)} / 100 = {found['result']}"]
        if one in parts and other != 100:
            product = exact(Fraction(other) * parts[one])
            return [
                f"{digits(other)} * {digits(parts[one])} = {digits(product)}",
                f"{digits(product)} / 100 = {found['result']}",
            ]
    return [line]


def gives_part(line: str, parts: Mapping[Number, Number]) -> bool:
    """Whether a line does no more than write a percentage as a share of one: `25 / 100 = 0.25`."""
    found = _SUM.match(line)
    return found is not None and found["sign"] in "*/" and value_of(found["result"]) in parts


def result_of(line: str) -> Number:
    return value_of(line.rpartition(" ")[2])


def operands(line: str) -> tuple[Number, ...]:
    found = _SUM.match(line)
    return () if found is None else (value_of(found["left"]), value_of(found["right"]))


def digits(value: Number) -> str:
    return plain(value, _MOST_DECIMALS)
