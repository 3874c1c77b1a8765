"""`fef.stream: "canvas"` tells what every round did to the canvas, beside the same text."""

from __future__ import annotations

from typing import Any

import pytest
from serving import Client

METHODS: list[dict[str, Any]] = [
    {},
    {"method": "sequential"},
    {"method": "fef", "options": {"verify": "rows", "window": 4}},
    {"method": "low-confidence", "options": {"steps": 8}},
    {"method": "fef", "options": {"steps": 2}},
    {"method": "saber"},
]


def rounds_of(events: list[Any], index: int = 0) -> list[Any]:
    found = [event["fef"]["round"] for event in events if "round" in event.get("fef", {})]
    return [each for each in found if each["index"] == index]


def canvas_of(rounds: list[Any]) -> dict[int, Any]:
    """The canvas that the rounds fill."""
    canvas: dict[int, Any] = {}
    for each in rounds:
        for place in each["reopened"]:
            del canvas[place]
        canvas |= {token["at"]: token for token in each["filled"]}
    return canvas


@pytest.mark.parametrize("own", METHODS, ids=str)
def test_rounds_fill_the_canvas_with_the_text(client: Client, own: dict[str, Any]) -> None:
    asked = {"temperature": 0.7, "stream": True, "return_token_ids": True}
    plain = client.complete(**asked, fef=own).events
    told = client.complete(**asked, fef={**own, "stream": "canvas"}).events
    texts = ["".join(c["text"] for e in events for c in e["choices"]) for events in (plain, told)]
    assert texts[0] == texts[1]
    assert plain[-1]["fef"]["certificate"] == told[-1]["fef"]["certificate"]
    ids = [i for e in told for c in e["choices"] for i in c["token_ids"]]
    rounds = rounds_of(told)
    canvas = canvas_of(rounds)
    assert [canvas[i]["id"] for i in range(len(ids))] == ids
    assert "".join(canvas[i]["text"] for i in range(len(ids))) == texts[1]
    assert not any(canvas[i]["end"] for i in range(len(ids)))
    assert len(rounds) > 1
    assert not rounds_of(plain)


def test_log_p_of_the_canvas_is_that_of_the_answer(client: Client) -> None:
    events = client.complete(temperature=0.7, stream=True, max_tokens=64, fef={"stream": "canvas"}).events
    canvas = canvas_of(rounds_of(events))
    end = min(at for at, token in canvas.items() if token["end"])
    total = sum(canvas[at]["logprob"] for at in range(end + 1))
    assert total == pytest.approx(events[-1]["fef"]["choices"][0]["logprob"], abs=1e-6)


def test_every_choice_has_rounds_of_its_own(client: Client) -> None:
    events = client.complete(n=3, temperature=2.0, stream=True, fef={"stream": "canvas"}).events
    for index in range(3):
        text = "".join(c["text"] for e in events for c in e["choices"] if c["index"] == index)
        canvas = canvas_of(rounds_of(events, index))
        end = next((at for at in sorted(canvas) if canvas[at]["end"]), len(canvas))
        assert "".join(canvas[at]["text"] for at in range(end)) == text


def test_a_conversation_has_rounds_too(client: Client) -> None:
    events = client.chat(stream=True, fef={"stream": "canvas"}).events
    text = "".join(c["delta"].get("content", "") for e in events for c in e["choices"])
    canvas = canvas_of(rounds_of(events))
    assert text.startswith("".join(canvas[at]["text"] for at in range(5)))


@pytest.mark.parametrize("fields", [{"stream": False}, {"fef": {"stream": "letters"}}, {"fef": {"stream": True}}])
def test_rounds_go_with_streams_only(client: Client, fields: dict[str, Any]) -> None:
    assert client.complete(**{"stream": True, "fef": {"stream": "canvas"}} | fields).status == 400


def test_committed_is_what_every_stream_tells(client: Client) -> None:
    assert client.complete(fef={"stream": "committed"}).status == 200
    assert not rounds_of(client.complete(stream=True, fef={"stream": "committed"}).events)
