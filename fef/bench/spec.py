"""A method with its options as one word, for command lines: `label=name:option=value,option=value`; and the list of them
that `fef bench` runs when none are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fef.errors import OptionError
from fef.readers import parse_options

__all__ = ["DEFAULT_SPECS", "MethodSpec", "parse_spec", "parse_specs"]

DEFAULT_SPECS = (
    "fef",
    "sequential:verify=packed",
    "fef:verify=rows",
    "sequential",
    "low-confidence",
    "low-confidence:block_length=32",
    "low-confidence:tokens_per_step=4",
)


@dataclass(frozen=True)
class MethodSpec:
    """A method's name and options under a label that tables show."""

    label: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_specs(
    texts: Iterable[str] | None, methods: Iterable[str], also: Iterable[str] | None = None
) -> list[MethodSpec]:
    """Specs out of texts of several each, with spaces between (None: `DEFAULT_SPECS`), and after them those of `also`.

    `all` stands for every one of `methods`, with its defaults; a word of `also` may be a label. Raises OptionError for no
    spec at all and for one label with two meanings.
    """
    words = DEFAULT_SPECS if texts is None else [word for text in texts for word in text.split()]
    if not words:
        raise OptionError("The list of methods is empty; name at least one, for example fef, or all.")
    found: dict[str, MethodSpec] = {}
    for word in words:
        for spec in map(parse_spec, methods if word == "all" else [word]):
            if found.setdefault(spec.label, spec) != spec:
                raise OptionError(f"Two methods have the label {spec.label!r}; give them different ones.")
    for word in also or ():
        if word not in found:
            found[word] = parse_spec(word)
    return list(found.values())


def parse_spec(text: str) -> MethodSpec:
    """`"fef"`, `"fef:window=8,verify=rows"` or `"mine=fef:window=8"`. Raises OptionError for other forms."""
    head, _, tail = text.partition(":")
    label, equals, name = head.rpartition("=")
    if not name.strip() or (equals and not label.strip()):
        raise OptionError(f"{text!r} is no method; write name or name:option=value,option=value.")
    options = parse_options(tail.split(",")) if tail else {}
    return MethodSpec(label.strip() or text.strip(), name.strip(), options)
