"""Fields of option dataclasses that know which values they allow and read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from fef.errors import OptionError, nearest_hint
from fef.readers import LARGEST, real, shown, whole_from

__all__ = ["checked", "flag", "model", "number", "one_of", "path", "read_options", "whole"]

Read = Callable[[str, Any], Any]


def whole(default: int | None, least: int = 1, most: int = LARGEST, *, optional: bool = False) -> Any:
    """A whole number from `least` to `most`; None too if that is the default, or if optional."""

    def read(name: str, value: Any) -> int | None:
        return None if optional and value is None else whole_from(name, value, least, most)

    return checked(default, read)


def number(default: float | None, low: float = 0.0, high: float = math.inf) -> Any:
    """A finite number from `low` to `high`; None too if that is the default."""

    def read(name: str, value: Any) -> float:
        found = real(value)
        if found is None or not low <= found <= high or found == math.inf:
            allowed = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
            raise OptionError(f"{name}={shown(value)} must be a number {allowed}.")
        return found

    return checked(default, read)


def one_of(default: str, names: tuple[str, ...], *, or_callable: bool = False) -> Any:
    def read(name: str, value: Any) -> Any:
        known = isinstance(value, str) and value in names
        if not known and not (or_callable and callable(value)):
            raise OptionError(f"{name}={shown(value)} is not known.{nearest_hint(str(value)[:100], names)}")
        return value

    return checked(default, read)


def flag(default: bool) -> Any:
    def read(name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise OptionError(f"{name}={shown(value)} must be True or False.")
        return value

    return checked(default, read)


def path() -> Any:
    """A file name, or None."""

    def read(name: str, value: Any) -> str | Path:
        if not isinstance(value, str | Path) or not str(value):
            raise OptionError(f"{name}={shown(value)} must be the name of a file.")
        return value

    return checked(None, read, opens=True)


def model() -> Any:
    """A model, or the name of one; None too."""

    def read(name: str, value: Any) -> Any:
        if not callable(value) and not (isinstance(value, str) and value):
            raise OptionError(
                f"{name}={shown(value)} must be a model, or the name of a file or directory that holds one."
            )
        return value

    return checked(None, read, opens=True)


def checked(default: Any, read: Read, *, opens: bool = False) -> Any:
    """A field of options. opens: its value names a file or a model that is then opened."""

    def allowed(name: str, value: Any) -> Any:
        return None if value is None and default is None else read(name, value)

    return field(default=default, metadata={"read": allowed, "opens": opens})


def read_options(method: str, options: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, its numbers as Python's. Raises OptionError for an option that the method does not have, and for a value
    outside its range."""
    known = {f.name: f for f in fields(options)}
    read = {}
    for name, value in given.items():
        if name not in known:
            raise OptionError(f"{method} has no option {name!r}.{nearest_hint(name, known)}")
        read[name] = known[name].metadata["read"](name, value)
    return read
