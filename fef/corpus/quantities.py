"""What a number of a question may become: another of its kind and size, or nothing else."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from fractions import Fraction

from fef.corpus.numerals import Number, Numeral, Piece, exact

__all__ = ["Range", "is_cents", "is_percentage", "range_of", "unit_of"]

# Numbers that name something or that a calendar, a clock or a fraction holds.
_NAMED_BEFORE = re.compile(
    r"[A-Za-z/:#]$|[\d.,]$|\b(?:grade|no\.|number|chapter|room|level|route|highway|year|season|size|"
    r"(?:jan|feb|mar|apr|may|june|july|aug|sep|oct|nov|dec)[a-z]*\.?)\s$|(?:\W|^)-$",
    re.IGNORECASE,
)
_NAMED_AFTER = re.compile(
    r"(?:st|nd|rd|th)\b|\s?[ap]\.?m\b|:\d|\s?/|\s+\d+\s?/|\s?o'clock|-?\s?(?:and|to)-\d|\s*(?:x|\*)\s*\d|%\s+(?:and|or) \d",
    re.IGNORECASE,
)
_YEARS = range(1700, 2101)
_YEAR_BEFORE = re.compile(r"\b(?:in|since|by|until|from|of)\s$", re.IGNORECASE)
_PERCENT_AFTER = re.compile(r"\s?(?:%|percent\b|-percent\b)")
_UNIT_AFTER = re.compile(r"[\s-]+(?:more |extra |full |whole |additional )?([A-Za-z]+)")
_ARTICLE_BEFORE = re.compile(r"\b(an?)\s\$?$", re.IGNORECASE)

# The most of a unit where a text knows the larger one, for numbers that are within it.
_LIMITS = {
    "day": 6,
    "hour": 12,
    "minute": 59,
    "second": 59,
    "month": 11,
    "week": 51,
    "inch": 11,
    "ounce": 15,
    "cent": 99,
}
_LARGER = {
    **{"day": ("week",), "hour": ("day", "daily"), "minute": ("hour",), "second": ("minute",)},
    **{"month": ("year",), "week": ("year",), "inch": ("foot", "feet"), "ounce": ("pound",), "cent": ("$", "dollar")},
}
_MOST_YEARS_OLD = 95


@dataclass(frozen=True)
class Range:
    """`low`, `low + step`, ... up to `high`; fractional: without the whole ones; article: the word `a` or `an` before it."""

    low: Number
    high: Number
    step: Number
    fractional: bool
    article: str

    def draw(self, rng: random.Random) -> Number:
        """One of the range. For an empty one, its low end."""
        return exact(Fraction(self.low + self.step * rng.randint(0, max(0, int((self.high - self.low) / self.step)))))

    def allows(self, value: Number) -> bool:
        return (
            self.low <= value <= self.high
            and not (self.fractional and isinstance(value, int))
            and not (self.article and self.article != article_of(value))
        )


def article_of(value: Number) -> str:
    digits = str(int(value))
    return "an" if digits.startswith("8") or digits in ("11", "18") else "a"


def is_percentage(pieces: list[Piece], at: int) -> bool:
    return _PERCENT_AFTER.match(words_after(pieces, at)) is not None


def is_cents(pieces: list[Piece], at: int) -> bool:
    return unit_of(pieces, at) == "cent"


def unit_of(pieces: list[Piece], at: int) -> str:
    """The word that a numeral counts, in the singular; "" for none."""
    found = _UNIT_AFTER.match(words_after(pieces, at))
    return singular(found[1].lower()) if found else ""


def singular(word: str) -> str:
    return {"inches": "inch", "feet": "foot"}.get(word, word.removesuffix("s"))


def words_after(pieces: list[Piece], at: int) -> str:
    following = pieces[at + 1 : at + 3]
    return "".join(piece if isinstance(piece, str) else str(piece.value) for piece in following)


def range_of(pieces: list[Piece], at: int) -> Range | None:
    """What the numeral at a place of a text may become; None where it must stay."""
    numeral = pieces[at]
    assert isinstance(numeral, Numeral)
    before = pieces[at - 1] if at else ""
    before = before if isinstance(before, str) else str(before.value)
    after, value = words_after(pieces, at), numeral.value
    year = value in _YEARS and not numeral.grouped and _YEAR_BEFORE.search(before) and not unit_of(pieces, at)
    if (value <= 2 and isinstance(value, int)) or year or _NAMED_BEFORE.search(before) or _NAMED_AFTER.match(after):
        return None
    article = _ARTICLE_BEFORE.search(before)
    kind = percentages(value) if is_percentage(pieces, at) else amounts(numeral, before.endswith("$"))
    if kind is None:
        return None
    low, high, step = kind
    limit = limit_of(pieces, at)
    if limit is not None and value <= limit:
        high = min(high, limit)
    return Range(low, high, step, isinstance(value, Fraction), article[1].lower() if article else "")


def percentages(value: Number) -> tuple[Number, Number, Number] | None:
    if isinstance(value, int) and value % 5 == 0 and value < 100:
        return max(5, value - 25), min(95, value + 25), 5
    if isinstance(value, int) and value < 100:
        return max(2, value // 2), min(95, 2 * value), 1
    return None


def amounts(numeral: Numeral, money: bool) -> tuple[Number, Number, Number]:
    """Half to twice as much, as round as it is."""
    value = numeral.value
    if isinstance(value, int):
        step = roundness(value)
        low = max(2, -(-value // (2 * step)) * step)
        return low, max(2 * value, low + step) if value > 6 else 12, step
    unit = Fraction(1, 10**numeral.places)
    coarse = (Fraction(1, 4), Fraction(1, 10), Fraction(1, 20)) if money else (Fraction(1, 2),)
    step_of = next((step for step in coarse if value % step == 0 and step >= unit), unit)
    return max(step_of, value // 2 if value >= 4 else step_of), 2 * value, step_of


def roundness(value: int) -> int:
    power = 1
    while value % (10 * power) == 0:
        power *= 10
    if value == power:
        return max(1, power // 10)
    if power > 1:
        return power // 2
    return 5 if value % 5 == 0 and value >= 15 else 1


def limit_of(pieces: list[Piece], at: int) -> int | None:
    unit = unit_of(pieces, at)
    text = "".join(piece for piece in pieces if isinstance(piece, str)).lower()
    if unit == "year" and "old" in words_after(pieces, at)[:16]:
        return _MOST_YEARS_OLD
    return _LIMITS[unit] if any(word in text for word in _LARGER.get(unit, ())) else None
