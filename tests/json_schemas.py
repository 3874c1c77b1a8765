"""Ten schemas for tests, and whether a document is one of a schema, by the meaning of the keywords that they use."""

from __future__ import annotations

import re
from typing import Any

SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 4},
    {"enum": ["red", "green", 3, None, {"deep": [True]}]},
    {
        "type": "object",
        "properties": {
            "kind": {"const": "circle", "type": "string"},
            "radius": {"type": "number"},
            "filled": {"type": "boolean"},
        },
        "required": ["radius"],
    },
    {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 5}, {"type": "array", "items": {"type": "boolean"}}]},
    {
        "type": "object",
        "properties": {
            "where": {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                "required": ["x", "y"],
            },
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        },
        "required": ["where"],
    },
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    {
        "$defs": {"answer": {"type": ["integer", "null"]}},
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/answer"}, "second": {"$ref": "#/$defs/answer"}},
        "required": ["first", "second"],
    },
    {"type": "object", "properties": {f"p{i}": {"type": "boolean"} for i in range(6)}},
    {"type": "string", "minLength": 3, "maxLength": 12},
]

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def is_valid(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None) -> bool:
    root = schema if root is None else root
    if "$ref" in schema:
        return is_valid(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return bool(value == schema["const"])
    if "anyOf" in schema:
        return any(is_valid(value, each, root) for each in schema["anyOf"])
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds):
        return False
    if isinstance(value, dict):
        properties = schema["properties"]
        return set(schema.get("required", [])) <= value.keys() <= properties.keys() and all(
            is_valid(each, properties[name], root) for name, each in value.items()
        )
    if isinstance(value, list):
        few = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return few and all(is_valid(each, schema["items"], root) for each in value)
    if isinstance(value, str):
        fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return fits and re.search(schema.get("pattern", ""), value) is not None
    return True
