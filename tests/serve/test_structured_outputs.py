"""`response_format` and `structured_outputs`: every answer is one that was asked for, and what cannot be is a 400."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from json_schemas import SCHEMAS, is_valid
from serving import QUESTION, Client
from test_refusals import check_refused

from fef.generation import Model

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")

PERSON = SCHEMAS[0]
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}


def test_a_json_schema_is_met_by_every_choice(client: Client) -> None:
    body = client.complete(response_format=FORMAT, n=3, max_tokens=32, temperature=1.0).body
    assert all(is_valid(json.loads(choice["text"]), PERSON) for choice in body["choices"])
    assert len({choice["text"] for choice in body["choices"]}) > 1
    assert "renormalised over what the JSON schema of sha256" in body["fef"]["certificate"]["law"]
    assert all(told["log_mass"] < 0 for told in body["fef"]["choices"])


def test_in_a_conversation_and_streamed_it_is_the_same_text(client: Client) -> None:
    asked = {"messages": [{"role": "user", "content": QUESTION}], "seed": 3, "max_tokens": 32, "temperature": 1.0}
    plain = client.post("/v1/chat/completions", asked | {"response_format": FORMAT}).body
    streamed = client.post("/v1/chat/completions", asked | {"response_format": FORMAT, "stream": True}).events
    pieces = [choice["delta"].get("content") or "" for event in streamed for choice in event["choices"]]
    assert "".join(pieces) == plain["choices"][0]["message"]["content"]
    assert is_valid(json.loads("".join(pieces)), PERSON)
    assert len([piece for piece in pieces if piece]) > 1


@pytest.mark.parametrize(
    ("outputs", "check"),
    [
        ({"regex": "[0-9]{3}"}, lambda text: len(text) == 3 and text.isdigit()),
        ({"choice": ["yes", "no"]}, lambda text: text in ("yes", "no")),
        ({"json": json.dumps(PERSON), "regex": None}, lambda text: is_valid(json.loads(text), PERSON)),
        ({"json": {"enum": [1, 2]}}, lambda text: text in ("1", "2")),
        ({"grammar": 'start: "(" start ")" | "x"'}, lambda text: text.strip("()") == "x"),
    ],
)
def test_structured_outputs_are_met(client: Client, outputs: dict[str, Any], check: Any) -> None:
    [text] = client.complete(structured_outputs=outputs, max_tokens=32, temperature=0.7).texts
    assert check(text), text


@pytest.mark.parametrize(
    "outputs", [{"json": PERSON}, {"grammar": 'start: "(" start ")" | /[a-z]{2,4}/ start?'}], ids=str
)
def test_a_stop_string_cuts_a_text_under_a_grammar_wherever_rounds_end(client: Client, outputs: dict[str, Any]) -> None:
    """Stop strings that begin in one token and end in another, plain and streamed."""
    asked = {"structured_outputs": outputs, "max_tokens": 16, "temperature": 1.0}
    [whole] = client.complete(**asked).texts
    assert len(whole) > 8
    for stop in (whole[1:3], whole[4:8]):
        choice = client.complete(stop=stop, **asked).body["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (whole[: whole.find(stop)], "stop")
        events = client.complete(stop=stop, stream=True, **asked).events
        assert "".join(choice["text"] for event in events for choice in event["choices"]) == choice["text"]
    assert client.complete(**asked).texts == [whole]


def test_it_is_the_text_of_the_model(client: Client, model: Model) -> None:
    [text] = client.complete(response_format={"type": "json_object"}, max_tokens=24, seed=5, temperature=0.7).texts
    alone = model.generate(QUESTION, grammar={"json": {"type": "object"}}, max_new_tokens=24, seed=5, temperature=0.7)
    assert text == alone.text
    assert isinstance(json.loads(text), dict)


def test_nothing_is_asked_by_null_and_by_nothing(client: Client) -> None:
    free = client.complete().texts
    assert client.complete(response_format=None, structured_outputs=None).texts == free
    assert client.complete(response_format={"type": "text"}, structured_outputs={}).texts == free


def test_a_score_can_be_under_a_grammar(client: Client) -> None:
    asked = {"structured_outputs": {"choice": ["yes", "no"]}, "max_tokens": 8, "temperature": 1.0, "prompt": QUESTION}
    told = client.post("/v1/completions", asked | {"return_token_ids": True}).body
    score = client.post("/v1/score", asked | {"response": told["choices"][0]["text"]}).body
    assert score["fef"]["certificate"]["law"] == told["fef"]["certificate"]["law"]
    assert score["logprob"] < 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "wat"}}}},
            "Invalid type",
        ),
        ({"structured_outputs": {"json": {"not": {}}}}, "Unimplemented keys"),
        ({"structured_outputs": {"regex": "("}}, "unclosed group"),
        ({"structured_outputs": {"choice": []}}, "a list of texts"),
        ({"structured_outputs": {"grammar": "start: nowhere"}}, "unknown name"),
        ({"structured_outputs": {"regex": "[0-9]{9}"}}, "There is no text of this grammar within 8 tokens"),
        ({"structured_outputs": {"regex": "a+"}, "suffix": " no a"}, "none at all"),
        ({"structured_outputs": {"regex": "a+"}, "fef": {"method": "threshold"}}, "from left to right"),
        ({"structured_outputs": {"regex": "a+"}, "fef": {"options": {"steps": 2}}}, "one denoising pass"),
        ({"structured_outputs": {"json": {"description": "x" * 100_000}}}, "65536 are allowed"),
        ({"fef": {"options": {"grammar": 3}}}, "has no grammar"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_what_cannot_be_met_is_a_400(client: Client, fields: dict[str, Any], words: str) -> None:
    for streams in (False, True):
        message = check_refused(client.complete(**{"max_tokens": 8, "stream": streams} | fields))
        assert words in message


def test_a_schema_of_five_megabytes_is_refused_within_a_second(client: Client) -> None:
    began = time.perf_counter()
    reply = client.complete(structured_outputs={"json": {"description": "x" * 5_000_000}})
    check_refused(reply, 413)
    assert time.perf_counter() - began < 1
    assert client.complete(structured_outputs={"choice": ["yes"]}).texts == ["yes"]
