"""JSON schemas as regular languages: documents whose properties stand in the schema's order, each with at most one space
behind a comma or a colon. Where values of any kind are allowed, these are at most four objects and arrays deep.

Every document in the language is one that the schema allows. What has no such language (recursion, keywords that are not read
here) raises `NotRegular`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fef.grammar.pieces import (
    ANY,
    Nfa,
    NotRegular,
    Piece,
    Ranges,
    characters,
    choice,
    complement,
    intersection,
    literal,
    optional,
    repeated,
    sequence,
)
from fef.grammar.regex import piece_of_regex

__all__ = ["piece_of_schema"]

Schema = Mapping[str, Any]
Following = tuple[str, ...]

_NOTES = {
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "deprecated",
}
_KEYWORDS: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern"},
    "integer": set(),
    "number": set(),
    "boolean": set(),
    "null": set(),
}
_DEEPEST, _MOST_PARTS, _MOST_REPEATS = 40, 2_000, 10_000
_FREE_DEPTH = 4  # of objects and arrays in a value of any kind

# Characters of a string that stand for themselves, and how those are written that stand behind a backslash.
_PLAIN: Ranges = intersection(complement(((0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F))), ((0x20, 0x10FFFF),))
_ESCAPES = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


def spelled(ranges: Ranges) -> Piece:
    """One character out of these ranges, as strings of JSON have it."""
    inside = [written for one, written in _ESCAPES.items() if any(low <= ord(one) <= high for low, high in ranges)]
    plain = characters(intersection(ranges, _PLAIN))
    if not inside:
        return plain
    return choice([plain, sequence([literal("\\"), characters(tuple((ord(w), ord(w)) for w in sorted(inside)))])])


_CHARACTER = spelled(ANY)
_SIMPLE = {
    "integer": piece_of_regex("-?(0|[1-9][0-9]*)"),
    "number": piece_of_regex(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"),
    "boolean": piece_of_regex("true|false"),
    "null": literal("null"),
}
_COMMA, _COLON = piece_of_regex(", ?"), piece_of_regex(": ?")


def piece_of_schema(schema: Any) -> Piece:
    """The documents of a schema, which is valid."""
    return SchemaReader(schema).value(schema, ())


@dataclass
class SchemaReader:
    """root: the whole schema, in which references are looked up. Methods take the references that are being followed."""

    root: Any
    parts: int = 0  # schemas that were read

    def value(self, schema: Any, following: Following) -> Piece:
        self.parts += 1
        if self.parts > _MOST_PARTS or len(following) > _DEEPEST:
            raise NotRegular("it has too many parts")
        if schema is True or schema == {}:
            return anything(_FREE_DEPTH)
        if not isinstance(schema, Mapping):
            raise NotRegular("it allows nothing")
        if "$ref" in schema:
            return self.referred(schema, following)
        keys = schema.keys() - _NOTES
        if "const" in schema and keys <= {"const", "type"}:
            return literal(document(schema["const"]))
        if "enum" in schema and keys <= {"enum", "type"}:
            return choice(literal(document(value)) for value in schema["enum"] if fits_type(value, schema.get("type")))
        for name in ("anyOf", "oneOf"):
            if keys == {name}:
                return choice([self.value(each, (*following, "")) for each in schema[name]])
        kinds = schema.get("type", list(_KEYWORDS) if not keys else None)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(kinds, Sequence) or not kinds:
            raise NotRegular("it has keywords without a type")
        unread = keys - {"type"}.union(*(_KEYWORDS[kind] for kind in kinds))
        if unread:
            raise NotRegular(f"it has the keyword {min(unread)}")
        return choice([self.of_kind(kind, schema, (*following, "")) for kind in kinds])

    def of_kind(self, kind: str, schema: Schema, following: Following) -> Piece:
        if kind == "object":
            return self.object_(schema, following)
        if kind == "array":
            return self.array(schema, following)
        return string(schema) if kind == "string" else _SIMPLE[kind]

    def referred(self, schema: Schema, following: Following) -> Piece:
        name = schema["$ref"]
        if schema.keys() - _NOTES != {"$ref"} or not isinstance(name, str) or not name.startswith("#/"):
            raise NotRegular("it has a reference beside other keywords, or out of the schema")
        if name in following:
            raise NotRegular("it refers to itself")
        found = self.root
        for part in name[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or part not in found:
                raise NotRegular("it refers to nothing")
            found = found[part]
        return self.value(found, (*following, name))

    def object_(self, schema: Schema, following: Following) -> Piece:
        """All properties that are required, and of the others as many as one likes."""
        if schema.keys() - _NOTES <= {"type"}:
            return object_of(anything(_FREE_DEPTH - 1))
        properties, required = schema.get("properties"), set(schema.get("required", []))
        if not isinstance(properties, Mapping) or not required <= properties.keys():
            raise NotRegular("it has properties of any name")
        if schema.get("additionalProperties") not in (None, False):
            raise NotRegular("it has further properties")
        return members(
            [
                (sequence([literal(document(name)), _COLON, self.value(each, following)]), name in required)
                for name, each in properties.items()
                if each is not False or name in required
            ]
        )

    def array(self, schema: Schema, following: Following) -> Piece:
        item = self.value(schema["items"], following) if "items" in schema else anything(_FREE_DEPTH - 1)
        least, most = counts(schema, "minItems", "maxItems")
        if most == 0:
            return literal("[]")
        if (least, most) == (0, None):
            return several("[", item, "]")
        more = repeated(sequence([_COMMA, item]), max(least - 1, 0), None if most is None else most - 1)
        inside = sequence([item, more])
        return sequence([literal("["), inside if least else optional(inside), literal("]")])


def anything(depth: int) -> Piece:
    """A value of any kind, with objects and arrays in it at most so deep."""
    flat = [string({}), *_SIMPLE.values()]
    return choice(
        flat if depth < 1 else [*flat, object_of(anything(depth - 1)), several("[", anything(depth - 1), "]")]
    )


def object_of(value: Piece) -> Piece:
    """An object of members of any name."""
    return several("{", sequence([string({}), _COLON, value]), "}")


def several(begin: str, item: Piece, end: str) -> Piece:
    """As many as one likes, with commas between, in brackets."""

    def add(nfa: Nfa, at: int) -> int:
        at = literal(begin)(nfa, at)
        before, over = nfa.state(), nfa.state()
        nfa.free[at].append(before)
        nfa.free[literal(end)(nfa, at)].append(over)
        behind = item(nfa, before)
        nfa.free[_COMMA(nfa, behind)].append(before)
        nfa.free[literal(end)(nfa, behind)].append(over)
        return over

    return add


def members(pieces: Sequence[tuple[Piece, bool]]) -> Piece:
    """An object of these members, each of which is needed or not."""

    def inside(nfa: Nfa, at: int) -> int:
        first: int | None = at  # where no member has come yet
        behind = nfa.state()  # where one has
        for member, needed in pieces:
            after = nfa.state()
            nfa.free[member(nfa, _COMMA(nfa, behind))].append(after)
            if first is not None:
                begin = nfa.state()
                nfa.free[first].append(begin)
                nfa.free[member(nfa, begin)].append(after)
            if needed:
                first = None
            else:
                nfa.free[behind].append(after)
            behind = after
        if first is not None:
            nfa.free[first].append(behind)
        return behind

    return sequence([literal("{"), inside, literal("}")])


def string(schema: Schema) -> Piece:
    quote = literal('"')
    if "pattern" not in schema:
        return sequence([quote, repeated(_CHARACTER, *counts(schema, "minLength", "maxLength")), quote])
    if schema.keys() & {"minLength", "maxLength"}:
        raise NotRegular("it has a pattern beside a length")
    return sequence([quote, matched(schema["pattern"]), quote])


def matched(pattern: str) -> Piece:
    """What holds a match of a pattern: it counts anywhere unless ^ and $ say where."""
    anything = repeated(_CHARACTER, 0, None)
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    piece = piece_of_regex(pattern[begins : len(pattern) - ends], spelled, parted=not (begins or ends))
    return sequence([*([] if begins else [anything]), piece, *([] if ends else [anything])])


def counts(schema: Schema, least: str, most: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    if max(low, high or 0) > _MOST_REPEATS or (high is not None and high < low):
        raise NotRegular(f"its {least} or {most} is too large")
    return int(low), None if high is None else int(high)


def document(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def fits_type(value: Any, kinds: Any) -> bool:
    names = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "integer": isinstance(value, int | float) and not isinstance(value, bool) and value == int(value),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list),
    }
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return kinds is None or any(names[kind] for kind in kinds)
