"""The chosen letter of a multiple-choice answer (MMLU)."""

from __future__ import annotations

import re

__all__ = ["chosen_letter"]

_MARKS = (
    re.compile(r"answer is:?\s*\**\(?([A-J])\b", re.IGNORECASE),
    re.compile(r"answer:?\s*\**\(?([A-J])\b", re.IGNORECASE),
    re.compile(r"(?<![A-Za-z])([A-J])(?![A-Za-z])"),
)


def chosen_letter(text: str) -> str | None:
    """The letter after the first "answer is" or "Answer:", or else the first lone capital letter from A to J."""
    for mark in _MARKS:
        found = mark.search(text)
        if found:
            return found[1].upper()
    return None
