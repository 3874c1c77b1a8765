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


def reader(allowed: str, fits: Callable[[Any], bool], read: Reader = anything) -> Reader:
    """Of the values that fit."""

    def checked(value: Any) -> Any:
        if not fits(value):
            raise ValueError(allowed)
        return read(value)

    return checked


def of(*kinds: type) -> Callable[[Any], bool]:
    """A boolean is no number."""
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


text = reader("a text", of(str))
text_or_number = reader("a text or a number", of(str, int, float), str)
whole_number = reader("a whole number", of(int))
flag = reader("true or false", of(bool))
choice = reader("a letter, or the number of a choice from 0", of(str, int))
texts = reader("a list of at least one text", lambda value: is_texts(value) and len(value) > 0)
lines = reader(
    "a text, a list of texts or null",
    lambda value: value is None or isinstance(value, str) or is_texts(value),
    lambda value: "\n".join(value) if isinstance(value, list) else value or "",
)
messages = reader(
    'a list of at least two messages {"role": ..., "content": ...}',
    lambda value: isinstance(value, list) and len(value) >= 2 and all(map(is_message, value)),
)
