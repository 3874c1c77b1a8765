"""`/v1/completions`, as clients of OpenAI's API expect it."""

from __future__ import annotations

from typing import Any

import pytest
from serving import QUESTION, Client

from fef.generation import Model


def test_the_text_is_that_of_generate(client: Client, model: Model) -> None:
    for temperature in (0.0, 0.7):
        body = client.complete(temperature=temperature, seed=5).body
        alone = model.generate(QUESTION, max_new_tokens=24, temperature=temperature, seed=5, verify="packed")
        choice = body["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (alone.text, alone.finish_reason)
        assert body["fef"]["certificate"]["kind"] == alone.certificate.kind
        assert body["fef"]["choices"][0]["passes"] > 0


@pytest.mark.parametrize("kind", ["text", "texts", "ids", "lists of ids"])
def test_a_prompt_may_be_text_or_ids_or_several(client: Client, kind: str) -> None:
    ids = client.post("/tokenize", {"prompt": QUESTION, "add_special_tokens": False}).body["tokens"]
    prompt = {"text": QUESTION, "texts": [QUESTION, "x"], "ids": ids, "lists of ids": [ids, ids]}[kind]
    reply = client.complete(prompt, n=2)
    assert reply.status == 200
    prompts = 2 if kind in ("texts", "lists of ids") else 1
    assert [choice["index"] for choice in reply.body["choices"]] == list(range(2 * prompts))
    assert reply.texts[:1] == client.complete().texts
    counted = {"text": len(ids), "texts": len(ids) + 1, "ids": len(ids), "lists of ids": 2 * len(ids)}[kind]
    assert reply.body["usage"]["prompt_tokens"] == counted


def test_choices_have_seeds_of_their_own(client: Client) -> None:
    reply = client.complete(n=3, seed=7, temperature=3.0)
    assert len(set(reply.texts)) == 3
    assert [choice["seed"] for choice in reply.body["fef"]["choices"]] == [7, 8, 9]
    assert client.complete(seed=8, temperature=3.0).texts == reply.texts[1:2]


def test_a_seed_that_is_drawn_is_told(client: Client) -> None:
    reply = client.complete(seed=None, temperature=1.0)
    assert client.complete(seed=reply.body["fef"]["seed"], temperature=1.0).texts == reply.texts


@pytest.mark.parametrize("fields", [{}, {"n": 3, "temperature": 1.2}, {"stop": ["bags", "="]}, {"fef": {"canvas": 40}}])
def test_a_stream_adds_up_to_the_whole_answer(client: Client, fields: dict[str, Any]) -> None:
    whole, events = client.complete(**fields).body, client.complete(stream=True, **fields).events
    for choice in whole["choices"]:
        mine = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in mine) == choice["text"]
        reasons = [c["finish_reason"] for c in mine if c["finish_reason"] is not None]
        assert reasons == [choice["finish_reason"]] == [mine[-1]["finish_reason"]]
        assert mine[-1]["text"]
    assert not any("usage" in event for event in events)
    assert [event["fef"]["certificate"] for event in events if "fef" in event] == [whole["fef"]["certificate"]]


def test_text_comes_before_the_canvas_is_full(client: Client) -> None:
    assert len(client.complete(stream=True, max_tokens=64).events) > 2


def test_choices_and_prompts_of_a_stream_come_side_by_side(client: Client) -> None:
    events = client.complete([QUESTION, "Ann has 5 pens."], n=2, stream=True, max_tokens=48, temperature=1.0).events
    order = [choice["index"] for event in events for choice in event["choices"]]
    assert set(order) == {0, 1, 2, 3}
    first_end = min(max(i for i, index in enumerate(order) if index == one) for one in set(order))
    assert set(order[:first_end]) == {0, 1, 2, 3}, "none waits for another one's end"


def test_usage_in_streams_is_a_chunk_of_its_own(client: Client) -> None:
    events = client.complete(stream=True, stream_options={"include_usage": True}).events
    assert events[-1]["choices"] == []
    assert events[-1]["usage"] == client.complete().body["usage"]
    assert all(event["usage"] is None for event in events[:-1])
    events = client.complete(stream=True, stream_options={"continuous_usage_stats": True}).events
    assert all(event["usage"]["total_tokens"] for event in events)


@pytest.mark.parametrize("options", [{"include_usage": True}, None])
def test_stream_options_need_a_stream(client: Client, options: object) -> None:
    assert client.complete(stream_options=options).status == 400


@pytest.mark.parametrize("stop", ["apples", ["zzz", "12 a"], [" "], ["never there"]])
def test_a_stop_string_ends_the_text_before_it(client: Client, stop: object) -> None:
    whole, choice = client.complete().texts[0], client.complete(stop=stop).body["choices"][0]
    stops = [stop] if isinstance(stop, str) else stop
    cut = min((whole.find(each) for each in stops if each in whole), default=len(whole))
    assert choice["text"] == whole[:cut]
    if cut < len(whole):
        assert choice["finish_reason"] == "stop"
        kept = client.complete(stop=stop, include_stop_str_in_output=True).texts[0]
        assert kept in [whole[:cut] + each for each in stops]


def test_a_canvas_may_be_longer_than_the_text(client: Client) -> None:
    """Another canvas is another law, so cutting is not the same as asking for less."""
    long = client.complete(max_tokens=40).texts[0]
    reply = client.complete(max_tokens=8, fef={"canvas": 40}).body
    assert reply["usage"]["completion_tokens"] == 8
    assert reply["choices"][0]["finish_reason"] == "length"
    assert long.startswith(reply["choices"][0]["text"])


def test_log_p_of_tokens_sums_to_that_of_the_answer(client: Client, model: Model) -> None:
    reply = client.complete(logprobs=0, temperature=0.7, max_tokens=64).body
    choice, told = reply["choices"][0], reply["choices"][0]["logprobs"]
    assert "".join(told["tokens"]) == choice["text"]
    assert [len("".join(told["tokens"][:i])) for i in range(len(told["tokens"]))] == told["text_offset"]
    assert all(list(top.values()) == [p] for top, p in zip(told["top_logprobs"], told["token_logprobs"], strict=True))
    scored = model.score(QUESTION, choice["text"], max_new_tokens=64, temperature=0.7, verify="packed")
    assert choice["finish_reason"] == "stop"
    assert reply["fef"]["choices"][0]["logprob"] == pytest.approx(scored.total, abs=1e-4)
    assert client.complete(logprobs=None).body["choices"][0]["logprobs"] is None


def test_echo_begins_with_the_prompt(client: Client) -> None:
    assert client.complete(echo=True).texts[0] == QUESTION + client.complete().texts[0]
    events = client.complete(echo=True, stream=True).events
    assert "".join(c["text"] for e in events for c in e["choices"]) == QUESTION + client.complete().texts[0]


def test_a_suffix_is_seen(client: Client, model: Model) -> None:
    texts = client.complete("Tom has", suffix=" apples.", temperature=0.0).texts
    alone = model.generate("Tom has", suffix=" apples.", max_new_tokens=24, verify="packed", seed=1)
    assert texts == [alone.text]


def test_token_ids_are_those_of_the_text(client: Client) -> None:
    choice = client.complete(return_token_ids=True).body["choices"][0]
    assert client.post("/detokenize", {"tokens": choice["token_ids"]}).body["prompt"] == choice["text"]
    events = client.complete(return_token_ids=True, stream=True).events
    assert [i for e in events for c in e["choices"] for i in c["token_ids"]] == choice["token_ids"]


def test_a_token_may_end_the_text(client: Client) -> None:
    ids = client.complete(return_token_ids=True).body["choices"][0]["token_ids"]
    reply = client.complete(stop_token_ids=[ids[5]]).body["choices"][0]
    assert reply["text"] == client.post("/detokenize", {"tokens": ids[: ids.index(ids[5])]}).body["prompt"]
    assert reply["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("method", "options", "streamed"),
    [
        ("sequential", {}, "as committed"),
        ("fef", {"order": "random"}, "as committed"),
        ("low-confidence", {"steps": 12}, "as committed"),
        ("fef", {"steps": 2}, "at the end"),
        ("wino", {}, "at the end"),
    ],
)
def test_every_method_answers_whole_and_streamed_alike(
    client: Client, method: str, options: dict[str, Any], streamed: str
) -> None:
    asked = {"temperature": 0.0, "fef": {"method": method, "options": options}}
    whole, events = client.complete(**asked).body, client.complete(stream=True, **asked).events
    assert "".join(c["text"] for e in events for c in e["choices"]) == whole["choices"][0]["text"]
    assert whole["fef"]["streamed"] == streamed
    assert whole["fef"]["method"] == method


def test_ids_may_go_on_into_the_answer(client: Client) -> None:
    """A prompt of ids that holds what begins an answer is given no other: the text goes on behind a part of it."""
    begun = client.post("/tokenize", {"prompt": QUESTION, "add_special_tokens": True}).body["tokens"]
    bare = client.post("/tokenize", {"prompt": QUESTION, "add_special_tokens": False}).body["tokens"]
    assert len(begun) == len(bare) + 1
    whole = client.complete(return_token_ids=True, temperature=0.0).body["choices"][0]
    assert client.complete(begun, temperature=0.0).texts == [whole["text"]]
    rest = client.complete(begun + whole["token_ids"][:10], max_tokens=14, temperature=0.0).texts[0]
    assert client.complete(bare + whole["token_ids"][:10], max_tokens=14, temperature=0.0).texts[0] != rest
    told = client.post("/v1/score", {"prompt": begun, "response": whole["text"], "max_tokens": 24}).body
    assert told == client.post("/v1/score", {"prompt": QUESTION, "response": whole["text"], "max_tokens": 24}).body
