"""What a request says of the form of its answers: OpenAI's `response_format`, and vLLM's `structured_outputs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from fef.grammar.given import Grammar, Kind, read_grammar
from fef.readers import shown
from fef.serve.errors import bad_request

__all__ = ["read_structure"]


def read_structure(body: Mapping[str, Any]) -> Grammar | None:
    """The grammar of the answers. Raises ApiError, and OptionError for a value that is none."""
    found = [grammar for grammar in (read_format(body), read_outputs(body)) if grammar is not None]
    if len(found) > 1:
        raise bad_request("response_format and structured_outputs do not go together; give one.", "structured_outputs")
    return found[0] if found else None


def read_format(body: Mapping[str, Any]) -> Grammar | None:
    asked = body.get("response_format")
    if asked is None:
        return None
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return read_grammar({"json": {"type": "object"}})
    described = asked.get("json_schema") if kind == "json_schema" else None
    if not isinstance(described, Mapping) or "schema" not in described:
        raise bad_request(
            f"response_format={shown(asked)} is not allowed: its type is text, json_object, or json_schema with "
            '{"json_schema": {"name": ..., "schema": ...}}.',
            "response_format",
        )
    return read_grammar({"json": described["schema"]})


def read_outputs(body: Mapping[str, Any]) -> Grammar | None:
    asked = body.get("structured_outputs")
    if asked is None:
        return None
    kinds = get_args(Kind)
    given = {name: value for name, value in asked.items() if value is not None} if isinstance(asked, Mapping) else None
    if given is None or len(given) > 1 or not given.keys() <= set(kinds):
        raise bad_request(
            f"structured_outputs={shown(asked)} is not allowed: give an object with one of {', '.join(kinds)}.",
            "structured_outputs",
        )
    return read_grammar(given) if given else None
