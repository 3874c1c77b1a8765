"""Numbers that words stand for: `three`, `twice`, and what a week or a dozen brings along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from fef.corpus.numerals import Number

__all__ = ["implied_numbers", "spoken_numbers"]

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"
_NTH = "third fourth fifth sixth seventh eighth ninth tenth"
_UNITS = {word: value for value, word in enumerate(f"{_ONES} eighteen nineteen".split())}
_TENS = {word: 10 * value for value, word in enumerate(_ROUND.split(), 2)}
_ORDINALS = {word: value for value, word in enumerate(_NTH.split(), 3)}
_SPOKEN: Mapping[str, tuple[Number, ...]] = {
    **{word: (value,) for word, value in (_UNITS | _TENS).items()},
    **{word: (1, value) for word, value in _ORDINALS.items()},
    **{f"{word}s": (value,) for word, value in _ORDINALS.items()},
    **dict.fromkeys(("twice", "double", "doubles", "doubled", "doubling", "both", "pair", "pairs", "couple"), (2,)),
    **dict.fromkeys(("half", "halves", "halved"), (1, 2, Fraction(1, 2), 50)),
    **dict.fromkeys(("triple", "triples", "tripled", "thrice"), (3,)),
    **dict.fromkeys(("quadruple", "quadruples", "quadrupled"), (4,)),
    **dict.fromkeys(("quarter", "quarters"), (1, 4, Fraction(1, 4), 25)),
    **dict.fromkeys(("once", "single", "another"), (1,)),
    **dict.fromkeys(("dozen", "dozens"), (12,)),
    **dict.fromkeys(("hundred", "hundreds"), (100,)),
    **dict.fromkeys(("thousand", "thousands"), (1000,)),
    **dict.fromkeys(("million", "millions"), (1_000_000,)),
    **dict.fromkeys(("twins",), (2,)),
    **dict.fromkeys(("triplets",), (3,)),
}

_IMPLIED: Mapping[str, tuple[Number, ...]] = {
    "second": (60,),
    "minute": (60,),
    "hour": (60, 24),
    "hourly": (60, 24),
    "day": (24, 7),
    "daily": (24, 7),
    "week": (7, 4, 52),
    "weekly": (7, 4, 52),
    "weekend": (2,),
    "weekday": (5,),
    "month": (12, 30, 4),
    "monthly": (12, 30, 4),
    "year": (12, 365, 52),
    "yearly": (12, 365, 52),
    "annual": (12,),
    "decade": (10,),
    "century": (100,),
    "inch": (12,),
    "inche": (12,),
    "foot": (12, 3),
    "feet": (12, 3),
    "yard": (3, 36),
    "mile": (5280,),
    "pound": (16,),
    "ounce": (16,),
    "ton": (2000, 1000),
    "gallon": (4, 16, 8),
    "quart": (4, 2),
    "pint": (2,),
    "cup": (16,),
    "cent": (100,),
    "penny": (1, 100),
    "pennie": (1, 100),
    "nickel": (5, Fraction(1, 20), 20),
    "dime": (10, Fraction(1, 10)),
    "quarter": (25, Fraction(1, 4)),
    "percent": (100,),
    "percentage": (100,),
    "discount": (100,),
    "kilometer": (1000,),
    "km": (1000,),
    "meter": (100, 1000),
    "kilogram": (1000,),
    "kg": (1000,),
    "gram": (1000,),
    "liter": (1000,),
    "triangle": (3,),
    "triangular": (3,),
    "square": (4,),
    "rectangle": (2, 4),
    "rectangular": (2, 4),
    "pentagon": (5,),
    "hexagon": (6,),
    "octagon": (8,),
    "perimeter": (2, 4),
    "fence": (2, 4),
    "leg": (2, 4, 6, 8),
    "average": (2,),
}

_WORD = re.compile(r"[a-z]+")
_PERCENT = re.compile(r"%")


def spoken_numbers(text: str) -> set[Number]:
    """The numbers that the words of a text say."""
    return {value for word in _WORD.findall(text.lower()) for value in _SPOKEN.get(word, ())}


def implied_numbers(text: str) -> set[Number]:
    """The numbers that a text brings along unsaid: 60 with minutes, 100 with a percent sign."""
    words = set(_WORD.findall(text.lower()))
    found = {value for word in words for value in (*_IMPLIED.get(word, ()), *_IMPLIED.get(word.removesuffix("s"), ()))}
    return found | ({100, Fraction(1, 100)} if _PERCENT.search(text) else set())
