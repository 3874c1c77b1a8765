"""What is wrong is refused with a 4xx in OpenAI's shape, soon, and the server goes on."""

from __future__ import annotations

import gc
import itertools
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Client, Reply, running

import fef
from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.generation import Model
from fef.serve.fields import Limits


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
        {"prompt": [[]]},
        {"prompt": [[5], []]},
        {"prompt": ["text", []]},
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
        {"logprobs": -1},
        {"logprobs": 21},
        {"logprobs": 21, "stream": True},
        {"logprobs": 0, "echo": True, "fef": {"method": "low-confidence"}},
        {"best_of": 0},
        {"best_of": 2, "n": 3},
        {"best_of": 2, "stream": True},
        {"best_of": 10**6},
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
        {"min_tokens": -1},
        {"min_tokens": 9},
        {"min_tokens": 2, "stop_token_ids": [5]},
        {"min_tokens": 2, "response_format": {"type": "json_object"}},
        {"ignore_eos": 1},
        {"logit_bias": {"5": 300}},
        {"logit_bias": {"5": "much"}},
        {"logit_bias": {"five": 3}},
        {"logit_bias": {"-1": 3}},
        {"logit_bias": {"99999": 3}},
        {"logit_bias": {str(i): 1 for i in range(1000)}},
        {"logit_bias": [5]},
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
        {"fef": {"method": "schedule", "options": {"profile": "/dev/zero"}}},
        {"fef": {"method": "demask", "options": {"head": "head.safetensors"}}},
        {"fef": {"options": {"\ud800": [1]}}},
        {"n": 100_000},
        {"fef": {"options": {"cfg_scale": 1e300, "verify": "rows"}}},
        {"fef": {"canvas": 0}},
        {"fef": {"score_from": 0}},
        {"fef": {"options": {"top": 3}}},
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
    "fef": {},
    "parallel_tool_calls": False,
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


def test_what_is_large_or_deep_is_refused_within_a_second(client: Client) -> None:
    deep: Any = {"type": "string"}
    for _ in range(400):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    large = {"type": "object", "properties": {f"name {i}": {"enum": ["x" * 40]} for i in range(60_000)}}
    for schema in (deep, large):
        asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
        began = time.perf_counter()
        reply = client.complete(**asked)
        assert 400 <= reply.status < 500
        assert time.perf_counter() - began < 10, "a second on an idle machine"
    for fields in (
        {"stop": ["a"] * 10_000},
        {"logit_bias": {str(i): 1 for i in range(100_000)}},
        {"prompt": ["a"] * 10_000},
    ):
        check_refused(client.complete(**fields))


def test_a_body_that_does_not_come_is_not_waited_for(model: Model) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    with (
        running(model, {"max_batch": 1}, limits=Limits(body_seconds=0.2)) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=30) as sock,
    ):
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 408 ")
        assert client.complete(max_tokens=2).status == 200


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("origin", {"steps": 65535}),
        ("fef", {"steps": 4097}),
        ("maskgit-plus", {"steps": 4097}),
        ("remdm", {"steps": 400, "block_length": 2}),
        ("fef", {"steps": 700, "block_length": 4}),
    ],
)
def test_more_passes_than_a_seat_is_held_for_are_refused(client: Client, method: str, options: dict[str, Any]) -> None:
    """In the whole request, however its blocks share them; in Python they are allowed."""
    for fields in ({}, {"fef": {"template": [{"slots": 24}, "and", {"slots": 2}]}, "max_tokens": None}):
        own = {"fef": {"method": method, "options": options, **fields.pop("fef", {})}}
        assert "4096" in check_refused(client.complete(**fields, **own))
    client.wait_until_idle()
    assert client.complete(max_tokens=2, fef={"method": method, "options": {**options, "steps": 3}}).status == 200
    assert make_plan(method, options, Network(client.host.engine.denoiser)).steps in (options["steps"], 1)


@pytest.mark.parametrize(("steps", "status"), [(1400, 400), (2, 200)])
def test_passes_of_all_spans_of_a_template_count(client: Client, steps: int, status: int) -> None:
    own = {"template": [{"slots": 2}, "and", {"slots": 2}, "or", {"slots": 2}], "options": {"steps": steps}}
    reply = client.complete(max_tokens=None, fef=own)
    assert reply.status == status
    assert status == 200 or "steps=1400 in each of 3 blocks" in check_refused(reply)


def test_a_prompt_beyond_the_length_is_refused(client: Client) -> None:
    for prompt in ("many words " * 1000, "a" * 3 * 2**20, list(range(300))):
        check_refused(client.complete(prompt))


def test_other_media_types_paths_and_methods_are_refused(client: Client) -> None:
    check_refused(client.ask("POST", "/v1/completions", b"a=1", {"content-type": "text/plain"}), 415)
    check_refused(client.post("/v1/responses", {}), 404)
    check_refused(wrong := client.get("/v1/completions"), 405)
    assert wrong.headers["allow"] == "POST"
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


BODIES = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES)).map(
    lambda body: dict(list(body.items())[:4])
)
ANY_BODY = st.one_of(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), BODIES)
PATHS = ["/v1/completions", "/v1/chat/completions", "/v1/score", "/tokenize", "/detokenize"]
SMALL = {"max_tokens": 2, "temperature": 0, "prompt": "x", "response": "y", "tokens": [5]}


def check_answered(client: Client, path: str, body: dict[str, Any]) -> None:
    conversation = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {}
    reply = client.post(path, SMALL | conversation | body)
    assert reply.status < 500, reply.raw
    if reply.status >= 400:
        check_refused(reply, reply.status)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=ANY_BODY, path=st.sampled_from(PATHS))
def test_random_fields_never_give_a_5xx(client: Client, body: dict[str, Any], path: str) -> None:
    check_answered(client, path, body)


@pytest.mark.slow
@settings(max_examples=10_000, suppress_health_check=list(HealthCheck), deadline=None)
@given(body=ANY_BODY, path=st.sampled_from(PATHS))
def test_ten_thousand_random_requests_never_give_a_5xx(client: Client, body: dict[str, Any], path: str) -> None:
    check_answered(client, path, body)


OPTION_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 40), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)
)
OPTIONS = {name: list(info.options) for name, info in fef.methods().items()}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_random_options_of_every_method_never_give_a_5xx(client: Client, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(sorted(OPTIONS)))
    options = data.draw(st.dictionaries(st.sampled_from(OPTIONS[method] or ["none"]), OPTION_VALUES, max_size=3))
    check_answered(client, data.draw(st.sampled_from(PATHS[:3])), {"fef": {"method": method, "options": options}})
    client.wait_until_idle()


@pytest.mark.slow
def test_memory_stays_where_it_is(client: Client) -> None:
    """Resident memory of the process of server and tests, after answers, refusals and hang-ups of every kind."""

    def work(count: int) -> None:
        for n in range(count):
            client.complete(max_tokens=4, seed=n, logprobs=3, n=2)
            client.complete(temperature=-1)
            client.ask("POST", "/v1/completions", b'{"prompt":"' + b"a" * 2**22, {"content-type": "application/json"})
            connection = client.connect()
            connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "stream": True}))
            connection.close()
        client.wait_until_idle()
        gc.collect()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    seats = client.host.engine.options.max_batch
    client.complete(
        max_tokens=128, n=seats, ignore_eos=True
    )  # each writes to the caches of its seat, which takes memory once
    work(60)
    before = resident()
    work(200)
    assert resident() < 1.01 * before


def test_a_full_queue_asks_to_come_again(model: Model) -> None:
    with running(model, {"max_batch": 1}, max_queue=2) as client:
        check_refused(client.complete(n=4))  # no queue will ever be long enough
        assert client.complete(n=3, max_tokens=4).status == 200
        connection = client.connect()
        body = {"prompt": "x", "stream": True, "n": 2, "max_tokens": 200, "ignore_eos": True}
        connection.request("POST", "/v1/completions", json.dumps(body))
        assert connection.getresponse().status == 200
        refused = client.complete(n=2)
        connection.close()
        check_refused(refused, 429)
        assert refused.headers["retry-after"] == "1"


def test_requests_that_wait_for_their_grammar_wait_in_the_queue_of_all(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, grammar_of = threading.Event(), type(model).grammar

    def slow(self: Model, given: object) -> object:
        release.wait(30)
        return grammar_of(self, given)

    monkeypatch.setattr(type(model), "grammar", slow)
    with running(model, {"max_batch": 1}, max_queue=2) as client, ThreadPoolExecutor(9) as pool:
        asked = [pool.submit(client.complete, structured_outputs={"regex": "[0-9]+"}, max_tokens=4) for _ in range(9)]
        try:
            refused = [one.result() for one in itertools.islice(as_completed(asked, timeout=30), 6)]
        finally:
            release.set()
        for reply in refused:
            check_refused(reply, 429)
        assert sorted(one.result().status for one in asked) == [200] * 3 + [429] * 6
        # none of them waits any longer, whether it was answered or refused
        assert client.complete(structured_outputs={"regex": "[0-9]+"}, max_tokens=4).status == 200
