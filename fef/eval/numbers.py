"""The final number of a worked answer (GSM8K)."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

__all__ = ["final_number", "same_number"]

_NUMBER = r"-?\$?\d[\d,]*(?:\.\d+)?|-?\$?\.\d+"
# Where an answer says that its result comes, best sign first.
_MARKS = (
    re.compile(rf"####\s*({_NUMBER})"),
    re.compile(rf"\\boxed\{{\s*\\?({_NUMBER})"),
    re.compile(rf"answer is:?\s*\**\s*\\?({_NUMBER})", re.IGNORECASE),
    re.compile(rf"({_NUMBER})"),
)


def final_number(text: str) -> str | None:
    """The number after the last `####`, in the last box, after the last "answer is", or else the last number; as digits.

    None where there is none.
    """
    for mark in _MARKS:
        found = mark.findall(text)
        if found:
            return str(found[-1]).replace(",", "").replace("$", "")
    return None


def same_number(first: str | None, second: str | None) -> bool:
    """Whether two texts of numbers have the same value: 18, 18.0 and 18.00 do."""
    try:
        return first is not None and second is not None and Decimal(first) == Decimal(second)
    except InvalidOperation:
        return False
