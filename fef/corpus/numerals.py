"""Numbers in a text: where they stand, what they are worth, and how to write another number in the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

__all__ = [
    "Number",
    "Numeral",
    "Piece",
    "decimals",
    "exact",
    "numerals",
    "plain",
    "render",
    "split",
    "text_of",
    "value_of",
]

Number = int | Fraction  # whole ones are always `int`

# not the minutes of a clock, nor zeros that lead nothing
_NUMERAL = re.compile(r"(?<!\d)(?<!\d:)(?!0\d)(?:\d{1,3}(?:,\d{3})+(?!,?\d)(?:\.\d+)?|\d*\.\d+|\d+)")

# Calculator marks and the answer's line hold digits alone.
_PLAIN_AFTER = re.compile(r"<<[^>]*$|####[ $]*$")
_BEFORE = 80  # characters


@dataclass(frozen=True)
class Numeral:
    """A number as it stands in a text.

    places: digits behind the point; padded: these are kept for other numbers too, as cents are; bare: nothing stands before
    the point; grouped: thousands are.
    """

    value: Number
    places: int
    padded: bool
    bare: bool
    grouped: bool


Piece = str | Numeral


def exact(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else value


def value_of(text: str) -> Number:
    """The value of a numeral's text, `1,200.50`."""
    digits = text.replace(",", "")
    return exact(Fraction(digits)) if "." in digits else int(digits)


def decimals(value: Number) -> int | None:
    """How many digits stand behind the point; None where they never end."""
    if isinstance(value, int):
        return 0
    denominator, twos, fives = value.denominator, 0, 0
    while denominator % 2 == 0:
        denominator, twos = denominator // 2, twos + 1
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    return max(twos, fives) if denominator == 1 else None


def plain(value: Number, most: int) -> str:
    """A number of at most so many decimals as digits alone. Raises ValueError for one that has more, or is negative."""
    places = decimals(value)
    if places is None or places > most or value < 0:
        raise ValueError(f"{value} is negative or not exact")
    whole, fraction = divmod(int(value * 10**places), 10**places)
    return f"{whole}.{fraction:0{places}}" if places else str(whole)


def split(text: str, grouped: bool = False) -> list[Piece]:
    """The text as words and numerals in turn. grouped: other numbers from a thousand on get commas."""
    pieces: list[Piece] = []
    end = 0
    for found in _NUMERAL.finditer(text):
        if found.start() > end:
            pieces.append(text[end : found.start()])
        pieces.append(numeral_of(found, grouped))
        end = found.end()
    return [*pieces, text[end:]] if end < len(text) else pieces


def numeral_of(found: re.Match[str], grouped: bool) -> Numeral:
    written, before = found[0], found.string[max(0, found.start() - _BEFORE) : found.start()]
    value = value_of(written)
    places = len(written.partition(".")[2])
    cents = places == 2 and before.rstrip(" ").endswith("$")
    return Numeral(
        value,
        places,
        padded=cents or (written.endswith("0") and places > 0),
        bare=written.startswith("."),
        grouped="," in written or (grouped and value < 1000 and not _PLAIN_AFTER.search(before)),
    )


def text_of(numeral: Numeral, value: Number) -> str:
    """Another value in the manner of a numeral. Its own value gives its own text."""
    needed = decimals(value)
    assert needed is not None and value >= 0
    places = max(needed, numeral.places) if numeral.padded else needed
    scaled = int(value * 10**places)
    whole, fraction = divmod(scaled, 10**places)
    digits = f"{whole:,}" if numeral.grouped else str(whole)
    if places == 0:
        return digits
    return ("" if numeral.bare and whole == 0 else digits) + f".{fraction:0{places}}"


def numerals(pieces: list[Piece]) -> list[Numeral]:
    return [piece for piece in pieces if isinstance(piece, Numeral)]


def render(pieces: list[Piece], values: Mapping[Number, Number]) -> str:
    """The text with every numeral's value replaced."""
    return "".join(piece if isinstance(piece, str) else text_of(piece, values[piece.value]) for piece in pieces)
