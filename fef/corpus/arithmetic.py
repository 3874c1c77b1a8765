"""Plain sums with short working: where small models err most."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

from fef.corpus.example import CorpusExample, exchange
from fef.corpus.numerals import exact, plain

__all__ = ["draw"]

# A sum as it is asked, how it is worked out, and what it gives. The working starts with the sum and ends with the result.
Sum = tuple[str, str, str]
_ASKS = ("What is {}?", "Calculate {}.", "Work out {}.", "How much is {}?", "Compute {}.", "{} = ?")
_LIST_ASKS = ("Work out: {}.", "Calculate each: {}.", "Solve these: {}.", "Give the results of {}.")


def draw(source: str, rng: random.Random) -> CorpusExample:
    """A sum with `#### answer`, or a list of them, a line each."""
    if rng.random() < 0.4:
        sums = [draw_sum(rng) for _ in range(rng.randint(3, 5))]
        asked = rng.choice(_LIST_ASKS).format("; ".join(asked for asked, _, _ in sums))
        return exchange(source, asked, "\n".join(worked for _, worked, _ in sums))
    asked, worked, result = draw_sum(rng)
    return exchange(source, rng.choice(_ASKS).format(asked), f"{worked}\n#### {result}")


def draw_sum(rng: random.Random) -> Sum:
    return rng.choices(_SUMS, _WEIGHTS)[0](rng)


def sized(rng: random.Random, low: int = 2) -> int:
    """A whole number of one to three digits, small ones as often as large ones; one in five is round."""
    value = rng.randint(low, rng.choice((9, 20, 99, 99, 999)))
    return 10 * value if rng.random() < 0.2 else value


def addition(rng: random.Random) -> Sum:
    left, right = sized(rng), sized(rng)
    tens, ones = right - right % 10, right % 10
    asked, result = f"{left} + {right}", left + right
    if tens and ones and rng.random() < 0.5:
        return asked, f"{asked} = {left} + {tens} + {ones} = {left + tens} + {ones} = {result}", str(result)
    return asked, f"{asked} = {result}", str(result)


def several(rng: random.Random) -> Sum:
    parts = [sized(rng) for _ in range(rng.randint(3, 5))]
    asked = " + ".join(map(str, parts))
    states = [" + ".join(map(str, [sum(parts[: n + 1]), *parts[n + 1 :]])) for n in range(1, len(parts))]
    return asked, " = ".join([asked, *states]), str(sum(parts))


def subtraction(rng: random.Random) -> Sum:
    right, result = sized(rng), sized(rng, 1)
    left = right + result
    tens, ones = right - right % 10, right % 10
    asked = f"{left} - {right}"
    if tens and ones and rng.random() < 0.5:
        return asked, f"{asked} = {left} - {tens} - {ones} = {left - tens} - {ones} = {result}", str(result)
    return asked, f"{asked} = {result}", str(result)


def multiplication(rng: random.Random) -> Sum:
    left, right = sized(rng), rng.choice((rng.randint(2, 12), rng.randint(2, 99)))
    tens, ones = right - right % 10, right % 10
    asked, result = f"{left} * {right}", left * right
    if tens and ones and left > 10:
        parts = f"{left} * {tens} + {left} * {ones} = {left * tens} + {left * ones}"
        return asked, f"{asked} = {parts} = {result}", str(result)
    return asked, f"{asked} = {result}", str(result)


def division(rng: random.Random) -> Sum:
    right, result = rng.choice((rng.randint(2, 12), rng.randint(2, 60))), sized(rng)
    asked = f"{right * result} / {right}"
    why = f", since {right} * {result} = {right * result}" if rng.random() < 0.3 else ""
    return asked, f"{asked} = {result}{why}", str(result)


def percentage(rng: random.Random) -> Sum:
    percent, base = 5 * rng.randint(1, 19), 10 * rng.randint(1, 60)
    result = plain(exact(Fraction(base * percent, 100)), 2)
    return (
        f"{percent}% of {base}",
        f"{percent}% of {base} = {base} * {percent} / 100 = {base * percent} / 100 = {result}",
        result,
    )


def fraction(rng: random.Random) -> Sum:
    below = rng.randint(2, 10)
    above, part = rng.randint(1, below - 1), rng.randint(2, 40)
    asked, each = f"{above}/{below} of {below * part}", f"{below * part} / {below} = {part}"
    return asked, f"{each}, and {part} * {above} = {part * above}", str(part * above)


def money(rng: random.Random) -> Sum:
    cents, count = rng.choice((rng.randint(5, 199) * 5, rng.randint(1, 39) * 25)), rng.randint(2, 12)
    price, result = plain(exact(Fraction(cents, 100)), 2), plain(exact(Fraction(cents * count, 100)), 2)
    return f"{count} * {price}", f"{count} * {price} = {result}", result


def decimal_sum(rng: random.Random) -> Sum:
    places = rng.choice((10, 100))
    left, right = sorted((Fraction(rng.randint(1, 99 * places // 10), places) for _ in range(2)), reverse=True)
    operator = "-" if left != right and rng.random() < 0.5 else "+"
    result = plain(exact(left - right if operator == "-" else left + right), 2)
    asked = f"{plain(exact(left), 2)} {operator} {plain(exact(right), 2)}"
    return asked, f"{asked} = {result}", result


def mixed(rng: random.Random) -> Sum:
    factor, times, other = rng.randint(2, 20), rng.randint(2, 12), sized(rng)
    product = factor * times
    operator = "-" if product > other and rng.random() < 0.5 else "+"
    result = product - other if operator == "-" else product + other
    asked = f"{factor} * {times} {operator} {other}"
    return asked, f"{asked} = {product} {operator} {other} = {result}", str(result)


_SUMS: tuple[Callable[[random.Random], Sum], ...] = (
    *(addition, several, subtraction, multiplication, division),
    *(percentage, fraction, money, decimal_sum, mixed),
)
_WEIGHTS = (4, 3, 5, 7, 6, 3, 2, 2, 2, 3)
