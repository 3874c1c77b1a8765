"""What a user gives as a grammar, read and checked: a JSON schema, a regular expression, a list of choices, or Lark rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from fef.errors import OptionError
from fef.readers import several, shown

__all__ = ["MOST_BYTES", "Grammar", "Kind", "read_grammar"]

Kind = Literal["json", "regex", "choice", "grammar"]

# Of a schema, an expression, rules or all choices together: more takes seconds to compile, or more stack than there is.
MOST_BYTES: dict[Kind, int] = {"json": 1 << 16, "regex": 1 << 13, "choice": 1 << 16, "grammar": 1 << 14}
MOST_LINES = 500  # of rules, each of which may be in the one before
_NAMES: dict[Kind, str] = {"json": "JSON schema", "regex": "regular expression", "choice": "list of choices"}
_NAMES["grammar"] = "set of Lark rules"


@dataclass(frozen=True)
class Grammar:
    """source: the schema or the list of choices as JSON, or the expression or the rules as they are."""

    kind: Kind
    source: str

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell it from others."""
        return hashlib.sha256(f"{self.kind}:{self.source}".encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """What it is."""
        return _NAMES[self.kind]

    @property
    def words(self) -> str:
        return f"the {self.name} of sha256 {self.digest}"


def read_grammar(given: Any) -> Grammar:
    """A mapping with one key: {"json": schema}, {"regex": "..."}, {"choice": ["...", ...]} or {"grammar": "Lark rules"}.

    A schema is a mapping, a boolean, or either as JSON text. Raises OptionError for anything else, and for more than
    `MOST_BYTES`. Whether the schema, the expression or the rules are valid is seen when they are compiled.
    """
    if isinstance(given, Grammar):
        return given
    kinds = get_args(Kind)
    if not isinstance(given, Mapping) or len(given) != 1 or next(iter(given)) not in kinds:
        raise OptionError(
            f"grammar={shown(given)} is not allowed: give a mapping with one of the keys {', '.join(kinds)}, for example "
            '{"regex": "[0-9]+"}.'
        )
    [(kind, value)] = given.items()
    source = READERS[kind](value)
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError:
        raise OptionError(f"The {_NAMES[kind]} holds half a character, so it is not UTF-8. Take it out.") from None
    if size > MOST_BYTES[kind]:
        raise OptionError(f"The {_NAMES[kind]} has {size} bytes; {MOST_BYTES[kind]} are allowed. Give a smaller one.")
    return Grammar(kind, source)


def schema_text(value: Any) -> str:
    try:
        found = json.loads(value) if isinstance(value, str) and len(value) <= MOST_BYTES["json"] else value
        if isinstance(found, str) and isinstance(value, str):
            return value  # too long, which is said of every grammar
        text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise OptionError("The JSON schema is nested too deep; give a flatter one.") from None
    except (TypeError, ValueError) as error:
        raise OptionError(f"The JSON schema is no JSON: {shown(str(error))}. Give a mapping, or JSON text.") from None
    if not isinstance(found, Mapping | bool):
        raise OptionError(f"A JSON schema is an object or a boolean; got {shown(found)}.")
    return text


def choices_text(value: Any) -> str:
    found = several(value)
    if not found or not all(isinstance(each, str) for each in found):
        raise OptionError(f"choice={shown(value)} is not allowed: give a list of texts, at least one.")
    return json.dumps(found, ensure_ascii=False)


def regex_text(value: Any) -> str:
    return plain_text("regex", value)


def rules_text(value: Any) -> str:
    text = plain_text("grammar", value)
    if text.count("\n") >= MOST_LINES:
        raise OptionError(f"The set of Lark rules has more than {MOST_LINES} lines. Give a smaller one.")
    if "%llguidance" in text:
        raise OptionError("The rules of a grammar begin without %llguidance, whose settings are a part of the law.")
    return text


def plain_text(kind: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"The {kind} of a grammar must be text; got {type(value).__name__}.")
    return value


READERS = {"json": schema_text, "regex": regex_text, "choice": choices_text, "grammar": rules_text}
