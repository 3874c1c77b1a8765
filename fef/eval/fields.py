"""What a field of a task file may hold.

Each reader returns the value as tasks use it, or raises ValueError with what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "Reader",
    "anything",
    "choice",
    "flag",
    "lines",
    "messages",
    "text",
    "text_or_number",
    "texts",
    "whole_number",
]

Reader = Callable[[Any], Any]


def anything(value: Any) -> Any:
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def text_or_number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a text or a number")
    return str(value)


def whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")
    return value


def choice(value: Any) -> int | str:
    """A choice by its letter, or by its number from 0."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a letter, or the number of a choice from 0")
    return value


def texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of at least one text")
    return value


def lines(value: Any) -> str:
    """A text; also a list of its lines, or null for none."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if value is not None and not isinstance(value, str):
        raise ValueError("a text, a list of texts or null")
    return value or ""


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def messages(value: Any) -> list[dict[str, str]]:
    """A prompt and its answer, at least."""
    if not isinstance(value, list) or len(value) < 2 or not all(map(is_message, value)):
        raise ValueError('a list of at least two messages {"role": ..., "content": ...}')
    return value


def is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)
