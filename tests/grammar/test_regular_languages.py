"""Regular expressions and JSON schemas as automata over bytes, held against Python's `re` and `json`."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from fef.errors import OptionError
from fef.grammar.pieces import ByteAutomaton, NotRegular, characters, determined
from fef.grammar.regex import piece_of_regex
from fef.grammar.schema import piece_of_schema

LETTERS = 'abcxyz01.@-_"\\éüàö]A 😀m\n'
EXPRESSIONS = [
    "[a-z]{0,3}",
    "(ab|a.c)+é?",
    r"\d+(\.\d{1,2})?",
    r'[^"\\]*',
    "a{2,}b?",
    "(a|b)*abb",
    "x*?y",
    r"[\w-]+@\w+",
    "",
    "é|ü[à-ö]",
    "[]a]b",
    r"\x41\u00e9",
    "(?:a|)b",
    "[^]x]+",
    "a||b",
    r"\S\s?\W",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_matches_what_python_matches(expression: str) -> None:
    automaton, expected = determined(piece_of_regex(expression)), re.compile(expression, re.ASCII)
    random_ = random.Random(0)
    for _ in range(3000):
        text = "".join(random_.choice(LETTERS) for _ in range(random_.randrange(6)))
        assert automaton.accepts(text.encode()) == (expected.fullmatch(text) is not None), text


def test_ranges_of_characters_are_ranges_of_utf8() -> None:
    random_ = random.Random(1)
    for _ in range(60):
        low, high = sorted(random_.randrange(0x110000) for _ in range(2))
        automaton = determined(characters(((low, high),)))
        points = [low - 1, low, high, high + 1, *(random_.randrange(0x110000) for _ in range(20))]
        for point in points:
            if 0 <= point < 0x110000 and not 0xD800 <= point <= 0xDFFF:
                assert automaton.accepts(chr(point).encode()) == (low <= point <= high)


@pytest.mark.parametrize(
    "expression",
    [
        "a(?=b)",
        "(",
        ")",
        "a**",
        "*a",
        r"\bword",
        r"(a)\1",
        r"\p{L}",
        "[a-",
        "a{3,2}",
        "a{99999}",
        "[[:alpha:]]",
        "(?i)a",
        r"[\w-.]",
        r"[\w-\s]",
        r"[\s-\S]",
        r"[\w--a]",
    ],
)
def test_what_is_not_read_is_left_to_another_engine(expression: str) -> None:
    with pytest.raises(NotRegular):
        determined(piece_of_regex(expression))


@pytest.mark.parametrize("expression", [r"[+-\d]", r"[^*-\w]", r"a[b!-\S]", "[+--]", "[!--a]"])
def test_a_range_that_engines_read_in_different_ways_is_refused(expression: str) -> None:
    with pytest.raises(OptionError, match="ends with a class"):
        piece_of_regex(expression)
    for plain in (r"[+\-\d]", r"[\d+-]", r"[-\d]"):
        assert determined(piece_of_regex(plain)).accepts(b"-")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("expression", [".*a.{14}", "(a{1,100}){1,100}", "((a{1,99}){1,99}){1,99}", ".{0,5000}"])
def test_an_automaton_that_would_be_huge_is_given_up_soon(expression: str) -> None:
    with pytest.raises(NotRegular, match=r"too large|states"):
        determined(piece_of_regex(expression))


def test_parts_that_make_no_state_are_given_up_soon() -> None:
    with pytest.raises(NotRegular, match="1000000 parts"):
        determined(piece_of_regex("(((){9999}){9999}){9999}"))


# --- schemas ---

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "ok": {"type": ["boolean", "null"]},
    },
    "required": ["age"],
}


def accepts(schema: Any, document: str) -> bool:
    automaton: ByteAutomaton = determined(piece_of_schema(schema))
    return automaton.accepts(document.encode())


@pytest.mark.parametrize(
    ("document", "allowed"),
    [
        ('{"age": 3}', True),
        ('{"name": "x", "age": 3}', True),
        ('{"name":"x","age":-3, "ok":true}', True),
        ('{"age": 0, "tags": ["a\\n", "bcd"], "ok": null}', True),
        ('{"name": "é😀\\"", "age": 3, "tags": []}', True),
        ("{}", False),
        ('{"name": "x"}', False),
        ('{"age": 03}', False),
        ('{"age": 3, "name": "x"}', False),
        ('{"age": 3,}', False),
        ('{, "age": 3}', False),
        ('{"age": 3, "tags": ["abcd"]}', False),
        ('{"age": 3, "tags": ["a", "b", "c"]}', False),
        ('{"name": "\n", "age": 3}', False),
        ('{"name": "\\ud800", "age": 3}', False),
        ('{"age": 3, "more": 1}', False),
    ],
)
def test_an_object_has_its_properties_in_order_and_all_that_are_required(document: str, allowed: bool) -> None:
    assert accepts(PERSON, document) == allowed


@pytest.mark.parametrize(
    ("schema", "allowed", "refused"),
    [
        ({"enum": ["a", 1, None, {"b": [2]}]}, ['"a"', "1", "null", '{"b": [2]}'], ["2", '"b"']),
        ({"const": "é", "type": "string"}, ['"é"'], ['"e"']),
        ({"type": "integer", "enum": [1, 2.0, 2.5, "x"]}, ["1", "2.0"], ['"x"', "2.5"]),
        ({"type": "number"}, ["1", "-0.5", "2e10", "1.5E-3"], ["01", ".5", "1.", "NaN"]),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, ["[null, null]"], ["[]", "[null]"]),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 0}, ["[]"], ["[null]"]),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, ["null", "true"], ["1"]),
        ({"type": "string", "pattern": "^[a-c]+$"}, ['"abc"'], ['""', '"abd"']),
        ({"type": "string", "pattern": "b"}, ['"abc"', '"b"', '"\\nb"'], ['"ac"', '"\\b"']),
        (
            {"type": "string", "pattern": r"^[A-Z]:\\[^a]\n$"},
            [r'"C:\\b\n"', r'"C:\\\"\n"'],
            [r'"C:\\a\n"', r'"C:\b\n"'],
        ),
        ({"type": "string", "pattern": '["x]"'}, [r'"\"\""', r'"ax\""'], [r'"\""', '"x"', '"""']),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"éé"', '"a\\n"'], ['"a"', '"abcd"']),
        ({"$defs": {"x": {"type": "null"}}, "$ref": "#/$defs/x"}, ["null"], ["1"]),
        ({"type": "object", "properties": {}}, ["{}"], ['{"a": 1}']),
    ],
)
def test_keywords_mean_what_json_schema_says(schema: Any, allowed: list[str], refused: list[str]) -> None:
    for document in allowed:
        json.loads(document)
        assert accepts(schema, document), document
    for document in refused:
        assert not accepts(schema, document), document


@pytest.mark.parametrize(
    ("schema", "allowed", "refused"),
    [
        (True, ["1", '"a"', "[]", '{"a": [{"b": {}}]}', "[[[[1, 2]]]]"], ["", "a", "[[[[[]]]]]", '{"a": 1,}']),
        ({}, ["null", "[1, null,[]]"], ["[,]", "[1,]", "[1 2]"]),
        ({"type": "object"}, ["{}", '{"a": 1, "b":{"c": [{}]}}'], ["1", "[]", '{"a"}', "{1: 2}", '{"a": [[[[]]]]}']),
        ({"type": "array"}, ["[]", '[1, "a", {}]', "[[[[]]]]"], ["{}", "[[[[[]]]]]"]),
        ({"title": "anything"}, ["true"], ["True"]),
    ],
)
def test_values_of_any_kind_are_four_deep_at_most(schema: Any, allowed: list[str], refused: list[str]) -> None:
    for document in allowed:
        json.loads(document)
        assert accepts(schema, document), document
    for document in refused:
        assert not accepts(schema, document), document


def doubled(depth: int) -> dict[str, Any]:
    """A schema that is twice as long at each step when its references are written out."""
    steps = {
        f"s{i}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/s{i + 1}"} for key in "ab"}}
        for i in range(depth)
    }
    return {"$defs": {**steps, f"s{depth}": {"type": "null"}}, "$ref": "#/$defs/s0"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"minimum": 3},
        {"type": "object", "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True},
        {"type": "integer", "minimum": 3},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^a|b$"},
        {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"},
        {"$ref": "#"},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "string", "maxLength": 10**9},
        doubled(40),
    ],
)
def test_a_schema_that_is_no_small_regular_language_is_left_to_another_engine(schema: Any) -> None:
    with pytest.raises(NotRegular):
        determined(piece_of_schema(schema))
