"""Calls of tools: an answer under the grammar of a tool's parameters, told as the call that it is."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fef.grammar.given import Grammar, read_grammar
from fef.readers import check_text, shown
from fef.serve.errors import bad_request

__all__ = ["Tools", "call_delta", "message_of_call", "read_tools"]

_MOST_TOOLS = 128
_DATA = ("const", "enum", "default", "examples")  # keywords of values, which are no schemas
_CALL = re.compile(r'\s*\{\s*"name"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"parameters"\s*:')  # up to its arguments
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")  # of schemas by name


@dataclass(frozen=True)
class Tools:
    """grammar: of the answers. name: of the tool whose parameters they are; None: each says which of several it calls."""

    grammar: Grammar
    name: str | None


def read_tools(body: Mapping[str, Any], stream: bool) -> Tools | None:
    """The tools that the answers call; None where they call none. Raises ApiError."""
    choice, schemas = body.get("tool_choice"), read_schemas(body.get("tools"))
    if choice == "none" or (not schemas and choice in (None, "auto")):
        return None
    if choice in (None, "auto"):
        raise bad_request(
            'tool_choice "auto" is not implemented: whether a tool is called would have to be read out of the text. Give '
            '"required", one tool, or "none".',
            "tool_choice",
        )
    name = named(choice, schemas)
    if name is None and len(schemas) == 1:
        [name] = schemas
    if name is not None:
        return Tools(read_grammar({"json": schemas[name]}), name)
    if stream:
        raise bad_request("Which of several tools is called is known at the end; name one to stream.", "tool_choice")
    return Tools(read_grammar({"json": one_of(schemas)}), None)


def one_of(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a call of one of these tools."""
    places = {name: f"#/$defs/{number}" for number, name in enumerate(schemas)}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "parameters": {"$ref": place}},
            "required": ["name", "parameters"],
            "additionalProperties": False,
        }
        for name, place in places.items()
    ]
    try:
        moved_schemas = {place.rpartition("/")[2]: moved(schemas[name], place) for name, place in places.items()}
    except RecursionError:
        raise bad_request("The parameters of a tool are nested too deep; give a flatter schema.", "tools") from None
    return {"anyOf": calls, "$defs": moved_schemas}


def moved(schema: Any, place: str, keywords: bool = True) -> Any:
    """A schema as a part of another one, at this place: so are its references to parts of itself. keywords: are keys of a
    mapping any, and not names of schemas?"""
    if isinstance(schema, list):
        return [moved(each, place) for each in schema]
    if not isinstance(schema, Mapping) or (keywords and "$id" in schema):  # that one is a whole for its references
        return schema
    found = {}
    for key, value in schema.items():
        if not keywords or key not in (*_DATA, "$ref"):
            found[key] = moved(value, place, not (keywords and key in _NAMED))
        else:
            inside = key == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/"))
            found[key] = f"{place}{value[1:]}" if inside else value
    return found


def named(choice: Any, schemas: Mapping[str, Any]) -> str | None:
    """The tool that is asked for by name; None for "required"."""
    if choice == "required" and schemas:
        return None
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or name not in schemas:
        raise bad_request(
            f'tool_choice={shown(choice)} must be "none", "required", or name one of tools: '
            '{"type": "function", "function": {"name": ...}}.',
            "tool_choice",
        )
    return name


def read_schemas(tools: Any) -> dict[str, Any]:
    """The schema of the parameters of each tool, by its name. Raises ApiError, and InputError for a name not in UTF-8."""
    if tools is None:
        return {}
    if not isinstance(tools, list) or len(tools) > _MOST_TOOLS:
        raise bad_request(f"tools must be a list of at most {_MOST_TOOLS} tools.", "tools")
    found = {}
    for tool in tools:
        function = tool.get("function") if isinstance(tool, Mapping) and tool.get("type") == "function" else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str):
            raise bad_request('A tool must be {"type": "function", "function": {"name": ..., ...}}.', "tools")
        found[check_text("name of a tool", name)] = function.get("parameters") or {"type": "object"}
    return found


def message_of_call(tools: Tools, text: str) -> dict[str, Any]:
    """The message of an answer, whose arguments are the text that was drawn: numbers of JSON need not be Python's. A text
    that the canvas cut off before it said which tool it calls stays text."""
    name, arguments = tools.name, text
    if name is None:
        try:
            call = json.loads(text)
        except ValueError:
            return {"role": "assistant", "content": text}
        head = _CALL.match(text)
        assert head is not None, "the grammar has its members in this order"
        name, arguments = call["name"], text[head.end() :].rstrip().removesuffix("}").strip()
    return {"role": "assistant", "content": None, "tool_calls": [new_call() | function(name, arguments)]}


def call_delta(tools: Tools, text: str, first: bool) -> dict[str, Any]:
    """What is new of the call of the one tool. first: nothing of it is told yet."""
    assert tools.name is not None, "several are not streamed"
    head = new_call() if first else {}
    return {"tool_calls": [{"index": 0} | head | function(tools.name if first else None, text)]}


def new_call() -> dict[str, Any]:
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function"}


def function(name: str | None, arguments: str) -> dict[str, Any]:
    return {"function": ({} if name is None else {"name": name}) | {"arguments": arguments}}
