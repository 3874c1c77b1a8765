"""`/v1/chat/completions`, as clients of OpenAI's API expect it."""

from __future__ import annotations

import pytest
from serving import QUESTION, Client


def test_a_conversation_is_rendered_and_answered(client: Client) -> None:
    body = client.chat().body
    choice = body["choices"][0]
    assert body["object"] == "chat.completion"
    assert choice["message"] == {"role": "assistant", "content": client.complete().texts[0]}


def test_content_may_be_in_parts_and_roles_and_fields_unknown(client: Client) -> None:
    whole = client.chat().body["choices"]
    parts = [{"type": "text", "text": QUESTION[:10]}, {"type": "text", "text": QUESTION[10:]}]
    assert client.chat(parts).body["choices"] == whole
    messages = [{"role": "developer", "content": QUESTION, "name": "x"}]
    assert client.chat(messages=messages, user="me", no_stop_trim=False, skip_special_tokens=True).status == 200


def test_max_completion_tokens_is_max_tokens(client: Client) -> None:
    short = client.chat(max_tokens=None, max_completion_tokens=24).body
    assert short["choices"] == client.chat().body["choices"]


def test_a_stream_begins_with_the_role_and_adds_up(client: Client) -> None:
    events = client.chat(stream=True, n=2, temperature=1.0).events
    assert [event["choices"][0]["delta"].get("role") for event in events[:2]] == ["assistant"] * 2
    for choice in client.chat(n=2, temperature=1.0).body["choices"]:
        mine = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        assert "".join(c["delta"]["content"] for c in mine) == choice["message"]["content"]
        assert [c["finish_reason"] for c in mine if c["finish_reason"]] == [choice["finish_reason"]]
        assert mine[-1]["delta"]["content"]


def test_usage_is_told_where_it_is_asked_for(client: Client) -> None:
    whole = client.chat().body["usage"]
    assert not any("usage" in event for event in client.chat(stream=True).events)
    *events, last = client.chat(stream=True, stream_options={"include_usage": True}).events
    assert (last["choices"], last["usage"]) == ([], whole)
    assert all(event["usage"] is None for event in events)
    asked = {"include_usage": True, "continuous_usage_stats": True}
    events = client.chat(stream=True, stream_options=asked).events
    assert all(event["usage"]["prompt_tokens"] == whole["prompt_tokens"] for event in events)
    assert events[-1]["usage"] == whole
    counts = [event["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts)


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": None}, None])
def test_stream_options_of_no_stream_are_refused(client: Client, options: object) -> None:
    assert client.chat(stream_options=options).status == 400
    assert client.chat(stream_options=options, stream=False).status == 400


def test_a_wrong_schema_is_a_400_and_the_server_goes_on(client: Client) -> None:
    schema = {"type": "wat"}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    for fields in ({"response_format": asked}, {"structured_outputs": {"grammar": "start: nowhere"}}):
        for stream in (False, True):
            reply = client.chat(stream=stream, **fields)
            assert reply.status == 400
            assert reply.headers["content-type"] == "application/json"
    assert client.chat().status == 200


def test_log_p_is_told_token_by_token(client: Client) -> None:
    choice = client.chat(logprobs=True, top_logprobs=0).body["choices"][0]
    content = choice["logprobs"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in content).decode() == choice["message"]["content"]
    assert all(token["top_logprobs"] == [] and -9999 <= token["logprob"] <= 0 for token in content)
    events = client.chat(logprobs=True, stream=True).events
    streamed = [t for e in events for c in e["choices"] if c["logprobs"] for t in c["logprobs"]["content"]]
    assert [t["bytes"] for t in streamed] == [t["bytes"] for t in content]
    # passes of other windows round their logits otherwise
    assert [t["logprob"] for t in streamed] == pytest.approx([t["logprob"] for t in content], abs=1e-5)
