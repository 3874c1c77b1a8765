"""Fields of option dataclasses that know which values they allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any

from fef.errors import OptionError, nearest_hint

__all__ = ["check_options", "flag", "number", "one_of", "path", "whole"]

Check = Callable[[str, Any], None]


def whole(default: int | None, least: int = 1, most: int | None = None, *, optional: bool = False) -> Any:
    """A whole number from `least` to `most`; None too if that is the default, or if optional."""
    allowed = f"of at least {least}" + ("" if most is None else f" and at most {most}")

    def check(name: str, value: Any) -> None:
        if optional and value is None:
            return
        outside = not isinstance(value, int) or value < least or (most is not None and value > most)
        if isinstance(value, bool) or outside:
            raise OptionError(f"{name}={value!r} must be a whole number {allowed}.")

    return checked(default, check)


def number(default: float | None, low: float = 0.0, high: float = math.inf) -> Any:
    """A finite number from `low` to `high`; None too if that is the default."""

    def check(name: str, value: Any) -> None:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
            or value == math.inf
        ):
            allowed = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
            raise OptionError(f"{name}={value!r} must be a number {allowed}.")

    return checked(default, check)


def one_of(default: str, names: tuple[str, ...], *, or_callable: bool = False) -> Any:
    def check(name: str, value: Any) -> None:
        if value not in names and not (or_callable and callable(value)):
            raise OptionError(f"{name}={value!r} is not known.{nearest_hint(str(value), names)}")

    return checked(default, check)


def flag(default: bool) -> Any:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, bool):
            raise OptionError(f"{name}={value!r} must be True or False.")

    return checked(default, check)


def path() -> Any:
    """A file name, or None."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or not value:
            raise OptionError(f"{name}={value!r} must be the name of a file.")

    return checked(None, check)


def checked(default: Any, check: Check) -> Any:
    def allowed(name: str, value: Any) -> None:
        if not (value is None and default is None):
            check(name, value)

    return field(default=default, metadata={"check": allowed})


def check_options(method: str, options: type, given: Mapping[str, Any]) -> None:
    """Raise OptionError for an option that the method does not have, and for a value outside its range."""
    known = {f.name: f for f in fields(options)}
    for name, value in given.items():
        if name not in known:
            raise OptionError(f"{method} has no option {name!r}.{nearest_hint(name, known)}")
        known[name].metadata["check"](name, value)
