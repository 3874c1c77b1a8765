"""What is wrong is refused with a 4xx in OpenAI's shape, soon, and the server goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Client, Reply, running

from fef.generation import Model


def check_refused(reply: Reply, status: int = 400) -> str:
    assert reply.status == status
    assert set(reply.body["error"]) == {"message", "type", "param", "code"}
    assert reply.body["error"]["code"] == status
    return str(reply.body["error"]["message"])


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": None},
        {"prompt": []},
        {"prompt": [1.5]},
        {"prompt": [[1, 2], 3]},
        {"prompt": [10**6]},
        {"prompt": [2**70]},
        {"prompt": [1021]},
        {"prompt": "\ud800"},
        {"prompt": {"a": 1}},
        {"max_tokens": 0},
        {"max_tokens": 10**12},
        {"max_tokens": "many"},
        {"max_tokens": True},
        {"seed": 2**63},
        {"seed": -1},
        {"seed": 1.5},
        {"n": 0},
        {"n": 10**6},
        {"temperature": -1},
        {"temperature": "hot"},
        {"temperature": 1e400},
        {"top_p": 0},
        {"top_p": 1.5},
        {"top_k": -2},
        {"logprobs": 5},
        {"logprobs": 21},
        {"logprobs": 21, "stream": True},
        {"logprobs": 0, "echo": True},
        {"best_of": 2},
        {"stop": 5},
        {"stop": ["a"] * 10_000},
        {"stop": "a" * 10_000},
        {"stop_token_ids": ["a"]},
        {"stream": "yes"},
        {"stream": True, "stream_options": 5},
        {"suffix": 5},
        {"frequency_penalty": 0.5},
        {"presence_penalty": 0.5},
        {"repetition_penalty": 1.1},
        {"min_p": 0.1},
        {"min_tokens": 3},
        {"ignore_eos": True},
        {"logit_bias": {"5": 3}},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "xml"}},
        {"response_format": "json_object"},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        {"structured_outputs": "a+"},
        {"structured_outputs": {"regex": "a+", "choice": ["a"]}},
        {"structured_outputs": {"structural_tag": "a"}},
        {"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a+"}},
        {"guided_json": {"type": "object"}},
        {"prompt_logprobs": 1},
        {"fef": 3},
        {"fef": {"metod": "fef"}},
        {"fef": {"method": "nosuch"}},
        {"fef": {"options": {"window": "wide"}}},
        {"fef": {"options": {"nosuch": 1}}},
        {"fef": {"options": {"draft": {"a": []}}}},
        {"fef": {"options": {"seed": 1}}},
        {"fef": {"options": {"eos_id": 1}}},
        {"fef": {"method": "deer", "options": {"causal": "owner/name"}}},
        {"fef": {"options": {"cfg_scale": 1e300, "verify": "rows"}}},
        {"fef": {"canvas": 0}},
        {"fef": {"method": "low-confidence", "options": {"steps": 10**30}}},
    ],
    ids=lambda fields: json.dumps(fields)[:40],
)
def test_a_wrong_field_is_named(client: Client, fields: dict[str, Any]) -> None:
    message = check_refused(client.complete(**{"temperature": 0.0, "max_tokens": 8} | fields))
    assert "/" not in message.replace("text/event-stream", "")


NEUTRAL = {
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "n": 1,
    "best_of": 1,
    "top_p": 1,
    "top_k": -1,
    "min_p": 0.0,
    "min_tokens": 0,
    "logprobs": None,
    "stop": None,
    "suffix": None,
    "echo": False,
    "stream": False,
    "ignore_eos": False,
    "logit_bias": {},
    "response_format": {"type": "text"},
    "user": "somebody",
    "no_stop_trim": True,
    "return_hidden_states": False,
    "skip_special_tokens": True,
    "a field of the future": {"deep": [1]},
}


def test_neutral_and_unknown_fields_change_nothing(client: Client) -> None:
    assert client.complete(**NEUTRAL).texts == client.complete().texts


RAW = {
    "no JSON": b"{",
    "a list": b"[1]",
    "deep": b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "half a character": b'{"prompt":"\xff"}',
    "a number of many digits": b'{"seed":' + b"9" * 10_000 + b"}",
    "not a number": b'{"prompt":"a","temperature":NaN}',
    "nothing": b"",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_a_body_that_is_no_object_is_refused(client: Client, raw: bytes) -> None:
    check_refused(client.ask("POST", "/v1/completions", raw, {"content-type": "application/json"}))


def test_a_body_of_64_megabytes_is_refused(client: Client) -> None:
    body = b'{"prompt":"' + b"a" * 2**26 + b'"}'
    check_refused(client.ask("POST", "/v1/completions", body, {"content-type": "application/json"}), 413)


def test_a_prompt_beyond_the_length_is_refused(client: Client) -> None:
    for prompt in ("many words " * 1000, "a" * 3 * 2**20, list(range(300))):
        check_refused(client.complete(prompt))


def test_other_media_types_paths_and_methods_are_refused(client: Client) -> None:
    check_refused(client.ask("POST", "/v1/completions", b"a=1", {"content-type": "text/plain"}), 415)
    check_refused(client.post("/v1/responses", {}), 404)
    check_refused(client.get("/v1/completions"), 405)
    check_refused(client.complete(model="gpt-9"), 404)
    check_refused(client.get("/v1/models/gpt-9"), 404)


@pytest.mark.parametrize("messages", [None, [], ["hi"], [{"role": "user", "content": [{"type": "image_url"}]}], [{}]])
def test_wrong_messages_are_refused(client: Client, messages: Any) -> None:
    check_refused(client.chat(messages=messages))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.integers(-3, 2**64), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FIELDS = [
    *NEUTRAL,
    "prompt",
    "messages",
    "max_tokens",
    "seed",
    "temperature",
    "stream_options",
    "stop_token_ids",
    "fef",
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), chat=st.booleans())
def test_random_fields_never_give_a_5xx(client: Client, body: dict[str, Any], chat: bool) -> None:
    reply = (client.chat if chat else client.complete)(**{"max_tokens": 2, "temperature": 0} | body)
    assert reply.status < 500
    client.wait_until_idle()


def test_a_full_queue_asks_to_come_again(model: Model) -> None:
    with running(model, {"max_batch": 1}, max_queue=2) as client:
        refused = client.complete(n=4)
        check_refused(refused, 429)
        assert refused.headers["retry-after"] == "1"
        assert client.complete(n=3, max_tokens=4).status == 200
