"""Questions as people type them: the training files put spaces around signs."""

from __future__ import annotations

import re

__all__ = ["tidy"]

_SPACES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\$ (?=\d)"), "$"),
    (re.compile(r"(?<=\d) %"), "%"),
    (re.compile(r" (?=[,;:.?!](?:\s|$))"), ""),
    (re.compile(r"(?<=[A-Za-z]) - (?=[a-z])"), "-"),
    (re.compile(r"[ \t]{2,}"), " "),
)


def tidy(text: str) -> str:
    """The text without stray spaces."""
    for pattern, replacement in _SPACES:
        text = pattern.sub(replacement, text)
    return text.strip()
