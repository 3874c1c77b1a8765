"""Tools that a request names or requires are called with arguments of their schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving import Client
from test_refusals import check_refused

from fef.grammar.compiled import compile_grammar
from fef.grammar.given import read_grammar
from fef.serve.tools import Tools, message_of_call, moved, read_tools


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": "It does.", "parameters": schema}}


ADD = tool("add", a={"enum": list(range(10))}, b={"enum": [1, 2]})
ASK = tool("ask", who={"enum": ["Tom", "Ann"]})
NAMED = {"tools": [ADD, ASK], "tool_choice": {"type": "function", "function": {"name": "add"}}}


def test_tools_that_are_not_to_be_called_change_nothing(client: Client) -> None:
    plain = client.chat().body["choices"]
    for fields in ({"tools": [ADD], "tool_choice": "none"}, {"tools": [], "tool_choice": "auto"}, {"tools": None}):
        assert client.chat(**fields, parallel_tool_calls=False).body["choices"] == plain


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [ADD]},
        {"tools": [ADD], "tool_choice": "auto"},
        {"tools": [], "tool_choice": "required"},
        {"tools": [ADD], "tool_choice": "sometimes"},
        {"tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "ask"}}},
        {"tools": "add"},
        {"tools": [{"type": "web_search"}]},
        {"tools": [ADD, ASK], "tool_choice": "required", "stream": True},
        NAMED | {"response_format": {"type": "json_object"}},
        {"tools": [tool("\ud800")], "tool_choice": {"type": "function", "function": {"name": "\ud800"}}},
    ],
    ids=lambda fields: json.dumps(fields)[-50:],
)
def test_what_cannot_be_called_is_refused(client: Client, fields: dict[str, Any]) -> None:
    check_refused(client.chat(**fields))


def test_a_named_tool_is_called(client: Client) -> None:
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    for temperature in (0.0, 1.0):
        choice = client.chat(**NAMED, temperature=temperature).body["choices"][0]
        assert choice["finish_reason"] == "stop" and choice["message"]["content"] is None
        [call] = choice["message"]["tool_calls"]
        assert call["type"] == "function" and call["function"]["name"] == "add"
        arguments = json.loads(call["function"]["arguments"])
        assert 0 <= arguments["a"] <= 9 and arguments["b"] in (1, 2)
        events = client.chat(**NAMED, temperature=temperature, stream=True).events
        told = [c["delta"]["tool_calls"][0] for e in events for c in e["choices"] if "tool_calls" in c["delta"]]
        assert "".join(each["function"]["arguments"] for each in told) == call["function"]["arguments"]
        assert [each["function"].get("name") for each in told] == ["add"] + [None] * (len(told) - 1)
        assert "id" in told[0] and not any("id" in each for each in told[1:])


def test_of_several_tools_the_answer_says_which_it_calls(client: Client) -> None:
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    fields = {"tools": [ADD, ASK], "tool_choice": "required", "temperature": 1.0, "n": 4, "max_tokens": 48}
    names = set()
    for choice in client.chat(**fields).body["choices"]:
        [call] = choice["message"]["tool_calls"]
        arguments = json.loads(call["function"]["arguments"])
        names.add(call["function"]["name"])
        assert set(arguments) == ({"a", "b"} if call["function"]["name"] == "add" else {"who"})
    assert names <= {"add", "ask"}
    [call] = client.chat(tools=[ASK], tool_choice="required").body["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["who"] in ("Tom", "Ann")


REFERRING = tool("refer", who={"$ref": "#/$defs/who"}, const={"$ref": "#/$defs/who"})
REFERRING["function"]["parameters"]["$defs"] = {"who": {"enum": ["Tom", "Ann"]}}
RECURSIVE = tool("list", next={"anyOf": [{"type": "null"}, {"$ref": "#"}]})


@pytest.mark.parametrize(
    ("referring", "right", "wrong"),
    [
        (REFERRING, '{"name": "refer", "parameters": {"who": "Tom", "const": "Ann"}}', '{"who": 5'),
        (RECURSIVE, '{"name":"list","parameters":{"next":{"next":null}}}', '{"name":"list","parameters":{"next":{"a'),
    ],
    ids=["regular", "recursive"],
)
def test_of_several_tools_each_may_refer_to_parts_of_its_own_schema(
    client: Client, referring: dict[str, Any], right: str, wrong: str
) -> None:
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    fields = {"tools": [ADD, referring], "tool_choice": "required"}
    assert client.chat(**fields, max_tokens=64).status == 200
    tools = read_tools(fields, stream=False)
    assert tools is not None
    grammar = compile_grammar(tools.grammar, [*(bytes([byte]) for byte in range(256)), b""], eos_id=256)
    assert grammar.text(100, ()).follow([*right.encode(), 256])
    assert not grammar.text(100, ()).follow(list(wrong.encode()))


def test_what_names_references_in_a_schema_is_left_as_it_is() -> None:
    values = {"const": {"$ref": "#/a"}, "enum": [{"$ref": "#"}], "default": {"$ref": "#"}}
    one = moved({"properties": {"$ref": {"$ref": "#/x"}, "enum": {"items": [{"$ref": "#"}]}}} | values, "#/$defs/0")
    assert one == {"properties": {"$ref": {"$ref": "#/$defs/0/x"}, "enum": {"items": [{"$ref": "#/$defs/0"}]}}} | values
    whole = {"$id": "https://a", "items": {"$ref": "#/b"}, "b": {"$ref": "https://a#/c"}}
    assert moved(whole, "#/$defs/0") == whole


def test_parameters_that_are_nested_too_deep_are_refused(client: Client) -> None:
    deep: Any = {"type": "string"}
    for _ in range(300):
        deep = {"type": "array", "items": {"anyOf": [deep]}}
    check_refused(client.chat(tools=[tool("deep", a=deep), ASK], tool_choice="required"))


@pytest.mark.parametrize("name", ["f", 'a "b\\'])
@pytest.mark.parametrize("arguments", ["{}", '{"x": 1e999, "y": 0.10, "parameters": {"é": "}"}}', "[1,\n 2]"])
def test_arguments_are_the_text_that_was_drawn(name: str, arguments: str) -> None:
    text = f'{{ "name":{json.dumps(name)} ,\n"parameters" : {arguments} }}'
    [call] = message_of_call(Tools(read_grammar({"json": True}), None), text)["tool_calls"]
    assert call["function"] == {"name": name, "arguments": arguments}
