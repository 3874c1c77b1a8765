"""The chosen letter of a multiple-choice answer (MMLU).

A mention of a choice is its letter alone: in brackets of either case, as a capital that is no word ("I" and "A" before
another word are), or as a small letter before punctuation or a reason. What an answer states ("the answer is C", "C is
right") comes before what it merely mentions; what it denies ("not B", "B is wrong") is no choice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from fef.eval.numbers import boxes

__all__ = ["chosen_letter"]

_MARKUP = re.compile(r"\\(?:boxed|fbox|text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}|[*_`$\"\u201c\u201d]")

_REASON = r"(?:because|since|as|and|or|is|due|for|which|but|with|by|not|if|so)\b"
_BRACKETED = r"[(\[]\s*(?P<bracketed>[A-Za-z])\s*[)\]]"
_CAPITAL = r"(?P<capital>[A-Z])(?![\w'\u2019]|[-.]\w)"
_SMALL = rf"(?P<small>[a-z])(?=\s*[.,;:!?)\]](?!\w)|\s*(?:\Z|\n)|\s+[-\u2013\u2014]\s|\s+{_REASON})"
_LETTER = rf"(?<![\w.'\u2019-])(?:{_BRACKETED}|{_CAPITAL}|{_SMALL})"

_KIND = r"(?i:(?:the\s+)?(?:option|choice|letter|answer)\s+)?"
_SURELY = r"(?i:(?:clearly|therefore|thus|then|indeed|probably|most likely)\s+)*"
_IS = r"(?i:is|must be|should be|would be)"
_RIGHT = r"(?i:right|correct|true|best|the (?:right|correct|best|true)\b|the answer\b)"

# How an answer states its choice, the strongest way first.
_STATEMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\A\s*{_LETTER}[.)]?\s*(?:\n|\Z)",
        rf"(?i:\banswer)(?:\s+{_IS}\b\s*[:=]?|\s*[:=])\s*{_SURELY}{_KIND}{_LETTER}",
        rf"\b{_RIGHT}(?i:\s+(?:one|option|choice|statement))?(?:\s+{_IS}\s*:?|:)\s*{_SURELY}{_KIND}{_LETTER}",
        rf"{_LETTER}\s+{_IS}\s+{_SURELY}{_RIGHT}",
        rf"(?i:\b(?:pick|choose|chose|select|go with|going with|option|choice))\s+{_KIND}{_LETTER}",
        rf"(?i:\b(?:so|therefore|thus|hence|then)\b),?\s+{_KIND}{_LETTER}(?=\s*(?:[.,;:!?]|\Z|\n))",
        rf"\A\s*{_KIND}{_LETTER}",
    )
)
_MENTION = re.compile(rf"(?<![\w.'\u2019-])(?:{_BRACKETED}|{_CAPITAL})")

_WORD_AFTER = re.compile(rf"\s+(?!{_REASON})[a-z]")
_DENIED_BEFORE = re.compile(
    r"(?i:\b(?:not|nor|neither|eliminate|exclude|reject|rule out|ruled out|than)|(?-i:\b[A-Z]\)?,?) (?:and|or|nor))\s+\Z"
)
_DENIED_AFTER = re.compile(
    r",?\s+(?:(?:and|or|nor)\s+[(\[]?[A-Z]\b(?!')|(?:is|are|was|seems|looks)\s+(?:\w+ly\s+)?(?:not|wrong|false|incorrect|too)\b)"
)


def chosen_letter(text: str, letters: Collection[str]) -> str | None:
    """Which of `letters` (the capitals of the item's choices) an answer chooses; None where it chooses none of them.

    It stands in the last box that has one, in the first statement of the strongest kind, at the beginning, or else in the
    last mention.
    """
    for part in (*reversed(boxes(text)), text):
        plain = _MARKUP.sub(r"\1", part)
        for statement in _STATEMENTS:
            if found := choices_in(statement, plain, letters):
                return found[0]
    found = choices_in(_MENTION, _MARKUP.sub(r"\1", text), letters)
    return found[-1] if found else None


def choices_in(pattern: re.Pattern[str], text: str, letters: Collection[str]) -> Sequence[str]:
    """The choices that a pattern finds in a text, in order."""
    found = []
    for match in pattern.finditer(text):
        kind = match.lastgroup
        assert kind is not None, "every pattern has a letter"
        before, after = text[: match.start(kind)].rstrip("(["), text[match.end(kind) :].lstrip(")]")
        word = kind == "capital" and match[kind] in "AI" and _WORD_AFTER.match(after)
        denied = _DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after)
        if match[kind].upper() in letters and not word and not denied:
            found.append(match[kind].upper())
    return found
