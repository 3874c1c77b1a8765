"""Readers of what users give: numbers of any library, one of them or one per row, text and files of it, and options in words.
One rule for every argument.

A whole number is Python's, NumPy's or an integer tensor without dimensions, a real number any of these or a floating-point
one; a boolean is neither.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fef.errors import FefError, InputError, OptionError

__all__ = [
    "LARGEST",
    "Value",
    "check_text",
    "decode_text",
    "parse_options",
    "parse_value",
    "read_file",
    "real",
    "several",
    "shown",
    "token_id",
    "token_ids",
    "whole",
    "whole_from",
]

LARGEST = 2**63 - 1  # of a whole number in a tensor
Value = int | float | bool | str | None
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None}


def whole(value: Any) -> int | None:
    """`value` as an int, or None if it is not one whole number."""
    if type(value) is int:
        return value
    if is_boolean(value) or getattr(value, "ndim", 0) > 0:
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor without data
        return None


def real(value: Any) -> float | None:
    """`value` as a float, or as an int if it is whole; None if it is not one real number that a float can hold."""
    if is_boolean(value) or isinstance(value, str | bytes | bytearray) or getattr(value, "ndim", 0) > 0:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    exact = whole(value)
    return number if exact is None else exact


def is_boolean(value: Any) -> bool:
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def several(value: Any) -> list[Any] | None:
    """The items of a list, tuple, range, array or tensor; None for anything that is one value."""
    if getattr(value, "ndim", 0):
        try:
            return list(value.tolist())
        except (AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
            return None
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else None


def shown(value: Any, most: int = 60) -> str:
    """`repr(value)` for a sentence: one line, not long, and never an error."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a foreign object does, and integers of more digits than Python prints
        text = f"({type(value).__name__} that cannot be printed)"
    return text if len(text) <= most else text[: most - 3] + "..."


def whole_from(name: str, value: Any, least: int, most: int | None = None, error: type[FefError] = OptionError) -> int:
    """`value` as an int. Raises `error`, in the name of the argument, unless it is whole and from `least` to `most`."""
    number = whole(value)
    if number is None or number < least or (most is not None and number > most):
        limit = None if most is None or (most == LARGEST and (number is None or number < least)) else most
        allowed = f"of at least {least}" + ("" if limit is None else f" and at most {largest(limit)}")
        raise error(f"{name}={shown(value)} must be a whole number {allowed}.")
    return number


def largest(most: int) -> str:
    return "2^63 - 1" if most == LARGEST else str(most)


def token_ids(name: str, values: Any, vocab_size: int | None = None, error: type[FefError] = OptionError) -> list[int]:
    """Token ids out of a list, a set, an array or a tensor. Raises `error` for anything else, and for ids outside the
    vocabulary."""
    found = several(values)
    if found is None:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable) or hasattr(values, "ndim"):
            raise error(f"{name}={shown(values)} is not allowed: give a list of token ids.")
        found = list(values)
    return [token_id(name, value, vocab_size, error) for value in found]


def token_id(name: str, value: Any, vocab_size: int | None = None, error: type[FefError] = OptionError) -> int:
    number = whole(value)
    if number is None or not 0 <= number <= LARGEST:
        raise error(f"{name} must be a token id, a whole number from 0 to 2^63 - 1; got {shown(value)}.")
    if vocab_size is not None and number >= vocab_size:
        raise error(f"{name} {number} is outside the vocabulary of {vocab_size}.")
    return number


def check_text(what: str, value: Any) -> str:
    """`value` itself. Raises InputError unless it is text that UTF-8 can hold: a lone surrogate, half a character, is not."""
    if not isinstance(value, str):
        raise InputError(f"The {what} must be text; got {type(value).__name__}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"The {what} holds half a character (a lone surrogate, at {error.start}), so it is not UTF-8. Take it out, or "
            "decode the text as UTF-8."
        ) from None
    return value


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}. Give a text file that you can read.") from error


def decode_text(raw: bytes, source: str) -> str:
    try:
        return raw.decode("utf-8-sig")  # editors on Windows begin a text with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8 (byte {error.start}). Convert it, for example with iconv.") from error


def parse_options(pairs: Iterable[str]) -> dict[str, Value]:
    """`["window=8", "verify=rows"]` as a dict. Raises OptionError for a pair without `=` and for a name given twice."""
    options: dict[str, Value] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise OptionError(f"{pair!r} is no option; write name=value, for example window=8.")
        if name in options:
            raise OptionError(f"The option {name} is given twice; give it once.")
        options[name] = parse_value(value.strip())
    return options


def parse_value(text: str) -> Value:
    """A whole number, a number, true, false or none where the text reads as one; else the text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
