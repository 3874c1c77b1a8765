"""Regular expressions as pieces: a subset of the syntax of Rust's and Python's, with \\d, \\w and \\s in ASCII.

What is not in the subset (look-around, word boundaries, back references, flags, Unicode classes) raises `NotRegular`: it is
left to another engine, or refused there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fef.errors import OptionError
from fef.grammar.pieces import (
    NotRegular,
    Piece,
    Ranges,
    characters,
    choice,
    complement,
    optional,
    repeated,
    sequence,
)

__all__ = ["piece_of_regex"]

_DIGIT: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CLASSES |= {name.upper(): complement(ranges) for name, ranges in _CLASSES.items()}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_DOT = complement(((0x0A, 0x0A),))
_DEEPEST = 100  # groups in groups
_MOST_REPEATS = 10_000


def piece_of_regex(pattern: str, spelled: Callable[[Ranges], Piece] = characters, *, parted: bool = True) -> Piece:
    """The texts that an expression matches from their beginning to their end. spelled: how one character out of ranges is
    written. parted: may it be alternatives, without a group around them? Raises NotRegular for what is not read here, and
    OptionError for a range of characters that ends with a class."""
    reader = Reader(pattern, spelled)
    piece = reader.alternatives() if parted else reader.run()
    if reader.at < len(pattern):
        raise NotRegular(f"it has a {pattern[reader.at]!r} that is out of place")
    return piece


@dataclass
class Reader:
    pattern: str
    spelled: Callable[[Ranges], Piece]
    at: int = 0
    depth: int = 0

    def alternatives(self) -> Piece:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotRegular("it is nested too deep")
        found = [self.run()]
        while self.ahead("|"):
            self.at += 1
            found.append(self.run())
        self.depth -= 1
        return found[0] if len(found) == 1 else choice(found)

    def run(self) -> Piece:
        found: list[Piece] = []
        while self.at < len(self.pattern) and not self.ahead("|") and not self.ahead(")"):
            found.append(self.quantified(self.atom()))
        return sequence(found)

    def ahead(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise NotRegular("it ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def atom(self) -> Piece:
        here = self.take()
        if here == "(":
            if self.ahead("?:"):
                self.at += 2
            elif self.ahead("?"):
                raise NotRegular("it has a group with a ?")
            inner = self.alternatives()
            if self.take() != ")":
                raise NotRegular("it has a group without an end")
            return inner
        if here == "[":
            return self.spelled(self.bracket())
        if here == ".":
            return self.spelled(_DOT)
        if here == "\\":
            return self.spelled(self.escaped())
        if here in "*+?{}^$]":
            raise NotRegular(f"it has a {here!r} where a character belongs")
        return self.spelled(((ord(here), ord(here)),))

    def quantified(self, piece: Piece) -> Piece:
        least: int = 1
        most: int | None = 1
        if self.ahead("*"):
            least, most = 0, None
        elif self.ahead("+"):
            least, most = 1, None
        elif self.ahead("?"):
            least, most = 0, 1
        elif not self.ahead("{"):
            return piece
        self.at += 1
        if self.pattern[self.at - 1] == "{":
            least, most = self.counts()
        if self.ahead("?"):  # lazy: the same texts
            self.at += 1
        if self.at < len(self.pattern) and self.pattern[self.at] in "*+?{":
            raise NotRegular("it repeats a repetition")
        if (least, most) == (0, 1):
            return optional(piece)
        return repeated(piece, least, most)

    def counts(self) -> tuple[int, int | None]:
        end = self.pattern.find("}", self.at)
        first, comma, last = self.pattern[self.at : max(end, self.at)].partition(",")
        self.at = end + 1
        if end < 0 or not is_count(first) or (last and not is_count(last)):
            raise NotRegular("it has a { that no count follows")
        least = int(first)
        most = least if not comma else int(last) if last else None
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise NotRegular("it repeats too often")
        return least, most

    def bracket(self) -> Ranges:
        negated = self.ahead("^")
        self.at += negated
        found: list[tuple[int, int]] = []
        first = True
        while first or not self.ahead("]"):
            first = False
            low = self.member()
            if self.ahead("-") and not self.ahead("-]"):
                one, written = len(low) == 1 and low[0][0] == low[0][1], self.ahead("--")
                self.at += 1
                high = self.member()
                if one and (written or high in _CLASSES.values()):  # engines read it in different ways
                    raise OptionError(
                        f"An expression has a range of characters that ends with a class or with -, in "
                        f"{self.pattern[:60]!r}. Write the - of it first, last, or behind a backslash."
                    )
                if not one or len(high) != 1 or low[0][0] > high[0][0]:
                    raise NotRegular("it has a range that is none")
                low = ((low[0][0], high[0][1]),)
            found += low
        self.at += 1
        ranges = joined(found)
        return complement(ranges) if negated else ranges

    def member(self) -> Ranges:
        here = self.take()
        if here == "\\":
            return self.escaped()
        if here == "[" or (here in "&-~" and self.ahead(here)):
            raise NotRegular("it has a class in a class")
        return ((ord(here), ord(here)),)

    def escaped(self) -> Ranges:
        here = self.take()
        if here in _CLASSES:
            return _CLASSES[here]
        if here in _CONTROLS:
            here = _CONTROLS[here]
        elif here in "xu":
            size = 2 if here == "x" else 4
            digits = self.pattern[self.at : self.at + size]
            self.at += size
            if len(digits) < size or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise NotRegular("it has an escape that is none")
            here = chr(int(digits, 16))
        elif here.isalnum():
            raise NotRegular(f"it has the escape {here!r}")
        return ((ord(here), ord(here)),)


def is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def joined(ranges: list[tuple[int, int]]) -> Ranges:
    """Sorted, and those that touch made one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)
