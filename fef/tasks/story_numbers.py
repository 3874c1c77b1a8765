"""The numbers of word problems: each rule picks small ones that the amount so far allows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "Numbers",
    "Rule",
    "add",
    "add_product",
    "difference",
    "divide",
    "double",
    "given",
    "halve",
    "keep",
    "multiply",
    "product",
    "small_multiple",
    "subtract",
    "subtract_from",
    "subtract_part",
    "subtract_product",
    "two_parts",
]

_HIGHEST = 199


class Numbers(NamedTuple):
    """The numbers that a move brings in: `n` and `k` are told, `t` is worked out on the way to the `new` amount."""

    new: int
    n: int = 0
    k: int = 0
    t: int = 0


Rule = Callable[[random.Random, int], Numbers | None]
"""Picks the numbers of a move from the amount so far; None when that amount does not allow the move."""


def given(rng: random.Random, _: int) -> Numbers:
    n = rng.randint(6, 60)
    return Numbers(new=n, n=n)


def product(rng: random.Random, _: int) -> Numbers:
    n, k = rng.randint(2, 12), rng.randint(2, 12)
    return Numbers(new=n * k, n=n, k=k)


def two_parts(rng: random.Random, _: int) -> Numbers:
    n, k = rng.randint(3, 50), rng.randint(3, 50)
    return Numbers(new=n + k, n=n, k=k)


def difference(rng: random.Random, _: int) -> Numbers:
    n, k = rng.randint(12, 60), rng.randint(2, 9)
    return Numbers(new=n - k, n=n, k=k)


def small_multiple(rng: random.Random, _: int) -> Numbers:
    n, k = rng.randint(3, 30), rng.choice((2, 3))
    return Numbers(new=n * k, n=n, k=k)


def add(rng: random.Random, old: int) -> Numbers | None:
    n = rng.randint(2, 40)
    return Numbers(new=old + n, n=n) if old + n <= _HIGHEST else None


def subtract(rng: random.Random, old: int) -> Numbers | None:
    if old < 5:
        return None
    n = rng.randint(2, min(40, old - 2))
    return Numbers(new=old - n, n=n)


def add_product(rng: random.Random, old: int) -> Numbers | None:
    n, k = rng.randint(2, 12), rng.randint(2, 8)
    return Numbers(new=old + n * k, n=n, k=k, t=n * k) if old + n * k <= _HIGHEST else None


def subtract_product(rng: random.Random, old: int) -> Numbers | None:
    n, k = rng.randint(2, 9), rng.randint(2, 8)
    return Numbers(new=old - n * k, n=n, k=k, t=n * k) if old - n * k >= 2 else None


def double(_: random.Random, old: int) -> Numbers | None:
    return Numbers(new=old * 2) if old <= 60 else None


def halve(_: random.Random, old: int) -> Numbers | None:
    return Numbers(new=old // 2) if old % 2 == 0 and old >= 6 else None


def subtract_part(k: int) -> Rule:
    def rule(_: random.Random, old: int) -> Numbers | None:
        return Numbers(new=old - old // k, t=old // k) if old % k == 0 and old <= 120 and old >= 2 * k else None

    return rule


def divide(rng: random.Random, old: int) -> Numbers | None:
    divisors = [k for k in range(2, 13) if old % k == 0 and 2 <= old // k <= 12]
    if not divisors:
        return None
    k = rng.choice(divisors)
    return Numbers(new=old // k, k=k)


def multiply(rng: random.Random, old: int) -> Numbers | None:
    k = rng.randint(2, 9)
    return Numbers(new=old * k, k=k) if old <= 12 else None


def subtract_from(rng: random.Random, old: int) -> Numbers | None:
    n = old + rng.randint(2, 50)
    return Numbers(new=n - old, n=n) if n <= _HIGHEST else None


def keep(_: random.Random, old: int) -> Numbers:
    return Numbers(new=old)
