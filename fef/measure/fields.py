"""Values of JSON as types say. People may have changed records by hand: what does not fit is refused in plain words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from textwrap import shorten
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from fef.readers import LARGEST, real, whole

__all__ = ["Count", "Positive", "fitted", "of_names"]

Count = Annotated[int, "above 0"]
Positive = Annotated[float, "above 0"]
WORDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}
LARGEST_OF = {int: LARGEST, float: sys.float_info.max}


def fitted(hint: Any, value: Any, name: str = "") -> Any:
    """`value` as the type says, of which a class of data makes one of it, by its `from_dict` where it has one. A mapping of
    names to types is an object that has these, and may have others. name: what it is called. Raises ValueError."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any or (value is None and NoneType in parts):
        return value
    if NoneType in parts:
        return fitted(parts[0], value, name)
    if origin is Annotated:
        if fitted(parts[0], value, name) <= 0:
            raise ValueError(f"{name} must be {parts[1]}")
        return value
    if origin is Literal:
        if value not in parts:
            raise ValueError(f"{name} must be one of {', '.join(parts)}")
        return value
    if hasattr(hint, "from_dict"):
        return hint.from_dict(value, name)
    if isinstance(hint, Mapping) or is_dataclass(hint):
        return of_names(hint, fitted(dict, value, name), name)
    if origin in (list, tuple):
        every = enumerate(fitted(list, value, name), start=1)
        return origin(fitted(parts[0], one, f"entry {number} of {name}") for number, one in every)
    kind = dict if origin is Mapping else hint
    number, most = real(value) if kind is float else whole(value), LARGEST_OF.get(kind)
    if not (isinstance(value, kind) if most is None else number is not None and abs(number) <= most):  # nan is not
        raise ValueError(f"{name or 'it'} must be {WORDS[kind]}")
    return value


def of_names(hint: Any, value: dict[str, Any], name: str) -> Any:
    """An object: of a mapping of names to types with all that it has, of a class of data an instance."""
    hints, needed = (hint, [*hint]) if isinstance(hint, Mapping) else named(hint)
    if lacking := [each for each in needed if each not in value]:
        raise ValueError(f"{name or 'it'} lacks {', '.join(lacking)}")
    inner = f" of {name}" if name else ""
    found = {each: fitted(hints[each], one, f"{each}{inner}") for each, one in value.items() if each in hints}
    if isinstance(hint, Mapping):
        return value | found
    if other := value.keys() - found.keys():
        words = shorten(", ".join(sorted(other)), 60)
        raise ValueError(f"{name} has {words}, which this version of fef does not know")
    return hint(**found)


@cache
def named(kind: type[Any]) -> tuple[dict[str, Any], list[str]]:
    """The types of its fields, and those that have no default."""
    defaults = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
    return get_type_hints(kind, include_extras=True), defaults
