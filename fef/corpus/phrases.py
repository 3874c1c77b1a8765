"""Sentences from patterns: `[has|owns] {a} {u}` with one of the alternatives, and slots filled by a cast and its numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from fractions import Fraction

from fef.corpus.inventory import COLOURS, CONTAINERS, DAYS, MONTHS, NAMES, PLACES, PRICED, THINGS, singular
from fef.corpus.numerals import Number, plain

__all__ = ["FRACTIONS", "cast_of", "chosen", "number_words", "told"]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"(\$?)\{(\w+)\}(%?)")
_STRAY = re.compile(r" (?=[.,?])")
_SENTENCE_START = re.compile(r"(?:^|(?<=[.?!]\s))[a-z]")
_AN = re.compile(r"\b([Aa])(?= (?:[aeiou](?!ne\b|nit|ser)|8|11\b|18\b|eight))")
_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_IN_WORDS = 0.2  # of the small numbers
_RELATIVES = ("friends", "classmates", "cousins", "neighbors", "teammates", "coworkers")
_MATERIALS = (
    "bike",
    "guitar",
    "phone",
    "camera",
    "skateboard",
    "tent",
    "watch",
    "desk",
    "tablet",
    "jacket",
    "keyboard",
)

FRACTIONS: Mapping[tuple[int, int], tuple[str, ...]] = {
    (1, 2): ("half", "one half", "1/2"),
    (1, 3): ("a third", "one third", "1/3"),
    (2, 3): ("two thirds", "2/3"),
    (1, 4): ("a quarter", "one fourth", "1/4"),
    (3, 4): ("three quarters", "three fourths", "3/4"),
    (1, 5): ("a fifth", "one fifth", "1/5"),
    (2, 5): ("two fifths", "2/5"),
    (3, 5): ("three fifths", "3/5"),
    (1, 6): ("a sixth", "1/6"),
    (3, 8): ("three eighths", "3/8"),
    (3, 10): ("three tenths", "3/10"),
}


def cast_of(rng: random.Random) -> dict[str, str]:
    """People, things and places for one story: names A to D, the pronouns of A and (as `she`) of B, things u to u3."""
    names = rng.sample(sorted(NAMES), 4)
    he, him, his = NAMES[names[0]]
    things, containers = rng.sample(PRICED if rng.random() < 0.7 else THINGS, 3), rng.sample(CONTAINERS, 2)
    things = [thing for thing in things if thing not in containers] + ["pencils", "shells", "coins"]
    places, colours, day, month = rng.sample(PLACES, 2), rng.sample(COLOURS, 3), rng.randrange(5), rng.randrange(10)
    return {
        **dict(zip("ABCD", names, strict=True)),
        **{
            "he": he,
            "He": he.capitalize(),
            "him": him,
            "his": his,
            "His": his.capitalize(),
            "she": NAMES[names[1]][0],
            "her": NAMES[names[1]][2],
        },
        **{"u": things[0], "u2": things[1], "u3": things[2]},
        **{"u1": singular(things[0]), "u21": singular(things[1]), "u31": singular(things[2])},
        **{
            "box": containers[0],
            "box1": singular(containers[0]),
            "box2": containers[1],
            "box21": singular(containers[1]),
        },
        **{"place": places[0], "place2": places[1], "red": colours[0], "blue": colours[1], "green": colours[2]},
        **{"day": DAYS[day], "day2": DAYS[day + 1], "day3": DAYS[day + 2]},
        **{"month": MONTHS[month], "month2": MONTHS[month + 1], "month3": MONTHS[month + 2]},
        **{"friends": rng.choice(_RELATIVES), "goal": rng.choice(_MATERIALS)},
    }


def chosen(text: str, rng: random.Random) -> str:
    """One alternative of each bracket, inner ones first."""
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), text)
    return " ".join(text.split())


def told(text: str, words: Mapping[str, str], numbers: Mapping[str, Number], rng: random.Random) -> str:
    """A pattern as a sentence. Numbers stand in digits, small ones sometimes in words; no price and no percentage does."""

    def fill(found: re.Match[str]) -> str:
        dollar, name, percent = found.groups()
        if name not in numbers:
            return dollar + words[name] + percent
        value = numbers[name]
        if dollar and isinstance(value, Fraction):
            return f"${float(value):.2f}"
        if not dollar and not percent and isinstance(value, int) and value < len(_ONES) and rng.random() < _IN_WORDS:
            return _ONES[value]
        return (
            f"{dollar}{value:,}{percent}"
            if isinstance(value, int) and value >= 10_000
            else dollar + plain(value, 2) + percent
        )

    filled = _STRAY.sub("", _SLOT.sub(fill, chosen(text, rng)))
    started = _SENTENCE_START.sub(lambda found: found[0].upper(), filled)
    return _AN.sub(lambda found: found[1] + "n", started)


def number_words(value: int, rng: random.Random) -> str:
    """How many times: `twice`, `three times`, `3 times`."""
    return "twice" if value == 2 else f"{_ONES[value] if value < len(_ONES) and rng.random() < 0.5 else value} times"
