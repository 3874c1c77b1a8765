"""Questions as people type them: the training files put spaces around signs."""

from __future__ import annotations

import re

from fef.corpus.inventory import ALSO_WORDS, DAYS, MONTHS, NAMES

__all__ = ["tidy"]

_SPACES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\$ (?=\d)"), "$"),
    (re.compile(r"(?<=\d) %"), "%"),
    (re.compile(r" (?=[,;:.?!](?:\s|$))"), ""),
    (re.compile(r"(?<=[A-Za-z]) - (?=[a-z])"), "-"),
    (re.compile(r"[ \t]{2,}"), " "),
)
_WORD = re.compile(r"(?<![\w'])[a-z]+\b")
_START = re.compile(r"(?:^|(?<=[.?!] ))[a-z]")
_CAPITAL = frozenset({*NAMES, *DAYS, *MONTHS, "I"}) - ALSO_WORDS


def tidy(text: str) -> str:
    """The text without stray spaces."""
    for pattern, replacement in _SPACES:
        text = pattern.sub(replacement, text)
    return with_capitals(text.strip())


def with_capitals(text: str) -> str:
    """Of a text without any: at the start of sentences, of `I`, and of names that are no other words."""
    if text != text.lower():
        return text
    named = _WORD.sub(lambda found: found[0].capitalize() if found[0].capitalize() in _CAPITAL else found[0], text)
    return _START.sub(lambda found: found[0].upper(), named)
