"""Log p in answers: of tokens, of the likeliest ones beside them, and of prompts that are told again."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from serving import QUESTION, Client

from fef.generation import Model

LEAST = -9999.0


def told(choice: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = choice["logprobs"]
    return found


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top", [0, 1, 5, 20])
def test_beside_each_token_stand_as_many_as_were_asked_for(client: Client, top: int, temperature: float) -> None:
    choice = client.complete(logprobs=top, temperature=temperature).body["choices"][0]
    assert choice["text"] == client.complete(temperature=temperature).texts[0]
    found = told(choice)
    for token, logprob, beside in zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True):
        assert max(top, 1) <= len(beside) <= top + 1
        assert beside[token] == logprob
        assert all(LEAST <= p <= 0 for p in beside.values())
    assert client.complete(logprobs=None).body["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("top", [0, 3, 20])
def test_in_a_conversation_there_are_exactly_as_many(client: Client, top: int) -> None:
    choice = client.chat(logprobs=True, top_logprobs=top, temperature=0.8).body["choices"][0]
    for token in told(choice)["content"]:
        beside = [one["logprob"] for one in token["top_logprobs"]]
        assert len(beside) == top and beside == sorted(beside, reverse=True)
        assert all(set(one) == {"token", "logprob", "bytes"} for one in token["top_logprobs"])
    events = client.chat(logprobs=True, top_logprobs=top, temperature=0.8, stream=True).events
    streamed = [t for e in events for c in e["choices"] if c["logprobs"] for t in c["logprobs"]["content"]]
    assert [t["token"] for t in streamed] == [t["token"] for t in told(choice)["content"]]
    for one, other in zip(streamed, told(choice)["content"], strict=True):
        assert [t["token"] for t in one["top_logprobs"]][:2] == [t["token"] for t in other["top_logprobs"]][:2]
    assert client.chat(top_logprobs=3).status == 400


def test_cut_tokens_are_told_with_the_least_log_p(client: Client) -> None:
    choice = client.chat(logprobs=True, top_logprobs=5, temperature=1.0, top_k=2).body["choices"][0]
    for token in told(choice)["content"]:
        assert [one["logprob"] == LEAST for one in token["top_logprobs"]] == [False, False, True, True, True]


def test_the_likeliest_are_those_of_generate(client: Client, model: Model) -> None:
    choice = client.complete(logprobs=4, temperature=0.7, seed=3).body["choices"][0]
    alone = model.generate(QUESTION, max_new_tokens=24, temperature=0.7, seed=3, verify="packed", top=4)
    assert alone.likeliest is not None
    for beside, expected in zip(told(choice)["top_logprobs"], alone.likeliest, strict=True):
        assert sorted(beside.values())[-4:] == pytest.approx(sorted(p for _, p in expected), abs=1e-4)


def test_greedy_texts_are_told_the_log_p_of_temperature_one(client: Client, model: Model) -> None:
    body = client.complete(logprobs=2, temperature=0.0, max_tokens=64).body
    choice = body["choices"][0]
    assert choice["finish_reason"] == "stop"
    scored = model.score(QUESTION, choice["text"], max_new_tokens=64, temperature=1.0, verify="packed")
    assert told(choice)["token_logprobs"] == pytest.approx(scored.logprobs[:-1], abs=1e-4)
    assert body["fef"]["choices"][0]["logprob"] == 0.0, "under the law of temperature 0 the text is certain"


def test_a_method_that_takes_tokens_back_tells_them_too(client: Client) -> None:
    choice = client.complete(logprobs=2, temperature=0.0, fef={"method": "wino"}).body["choices"][0]
    assert len(told(choice)["tokens"]) == len(told(choice)["top_logprobs"]) > 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_prompt_that_is_told_again_has_the_log_p_of_a_text(client: Client, model: Model, temperature: float) -> None:
    """As evaluation harnesses ask: ids, echo, one token more that they drop."""
    ids = model.prompt_ids(QUESTION)
    fields = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": temperature}
    body = client.complete([ids], **fields).body
    choice, found = body["choices"][0], told(body["choices"][0])
    assert choice["text"].startswith(QUESTION)
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert len(found["tokens"]) == len(ids) + 1
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == [len("".join(found["tokens"][:i])) for i in range(len(ids) + 1)]
    places = range(1, len(ids))
    scored = model.score_ids(ids, places, places)
    assert found["token_logprobs"][1:-1] == pytest.approx(scored.logprobs, abs=1e-4)
    assert body["fef"]["echo"]["certificate"]["kind"] == "chain"
    assert all(1 <= len(beside) <= 2 for beside in found["top_logprobs"][1:])


def test_where_a_prompt_ends_is_a_part_of_the_law(client: Client, model: Model) -> None:
    ids = model.prompt_ids(QUESTION)
    fields = {"echo": True, "logprobs": 0, "max_tokens": 1}
    found = told(client.complete(ids, **fields, fef={"score_from": 9}).body["choices"][0])["token_logprobs"]
    assert found[:9] == [None] * 9
    places = range(9, len(ids))
    assert found[9:-1] == pytest.approx(model.score_ids(ids, places, places).logprobs, abs=1e-4)
    whole = told(client.complete(ids, **fields).body["choices"][0])["token_logprobs"]
    assert max(abs(a - b) for a, b in zip(whole[9:-1], found[9:-1], strict=True)) > 1e-3
    late = told(client.complete(ids, **fields, fef={"score_from": 10**6}).body["choices"][0])["token_logprobs"]
    assert late[:-1] == [None] * len(ids)


def test_an_echo_is_streamed_once_and_for_every_prompt(client: Client) -> None:
    asked = {"echo": True, "logprobs": 1, "max_tokens": 4, "n": 2, "temperature": 1.0}
    whole = client.complete([QUESTION, "Tom has"], **asked).body["choices"]
    events = client.complete([QUESTION, "Tom has"], stream=True, **asked).events
    for choice in whole:
        mine = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in mine) == choice["text"]
        assert [t for c in mine if c["logprobs"] for t in c["logprobs"]["tokens"]] == told(choice)["tokens"]
    assert [choice["text"].startswith(QUESTION) for choice in whole] == [True, True, False, False]


def test_no_number_in_an_answer_is_infinite(client: Client) -> None:
    reply = client.complete(logprobs=5, temperature=0.5, top_k=1, echo=True)
    assert "Infinity" not in json.dumps(reply.body) and math.isfinite(reply.body["fef"]["choices"][0]["logprob"])
