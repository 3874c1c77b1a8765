"""`fef.template`: what `Model.fill` gives, whole, streamed, several at once, and in conversations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving import QUESTION, Client

from fef.generation import Model

TEMPLATE: list[Any] = [
    "12 +",
    {"slots": 5},
    " = ",
    {"slots": 6, "regex": "[0-9]+"},
    " apples, which is ",
    {"slots": 3, "choice": ["more", "less"]},
    ".",
]


def own(template: Any = TEMPLATE, **more: Any) -> dict[str, Any]:
    return {"fef": {"template": template, **more}, "max_tokens": None, "temperature": 0.7}


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("way", [{"method": "fef"}, {"method": "sequential", "options": {"verify": "rows"}}], ids=str)
def test_the_answer_is_that_of_python(client: Client, model: Model, way: dict[str, Any], temperature: float) -> None:
    found = client.complete(**own(**way) | {"temperature": temperature}).body
    options = {"temperature": temperature, "method": way["method"], **way.get("options", {})}
    wanted = model.fill(QUESTION, TEMPLATE, seed=1, **options)
    choice, about = found["choices"][0], found["fef"]["choices"][0]
    assert choice["text"] == wanted.text
    assert about["spans"] == [span.text for span in wanted.spans]
    assert about["logprob"] == pytest.approx(wanted.logprob, abs=1e-4)
    if temperature:
        assert about["log_mass"] == pytest.approx(sum(span.log_mass or 0.0 for span in wanted.spans), abs=1e-3)
    assert found["fef"]["certificate"]["law"] == wanted.certificate.law
    assert found["fef"]["canvas"] == 14
    assert found["usage"]["completion_tokens"] == sum(
        len(span.token_ids) + (span.finish_reason == "stop") for span in wanted.spans
    )


def test_a_stream_is_the_same_text_and_ends_once(client: Client) -> None:
    whole = client.complete(**own())
    streamed = client.complete(**own(), stream=True)
    pieces = [choice for event in streamed.events for choice in event["choices"]]
    assert "".join(piece["text"] for piece in pieces) == whole.texts[0]
    assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] == [
        whole.body["choices"][0]["finish_reason"]
    ]
    assert len(pieces) > 1
    assert streamed.events[-1]["fef"]["choices"][0]["spans"] == whole.body["fef"]["choices"][0]["spans"]
    assert streamed.events[-1]["fef"]["certificate"] == whole.body["fef"]["certificate"]


def test_choices_and_prompts_are_each_what_they_are_alone(client: Client) -> None:
    prompts = [QUESTION, "Tom has 4 apples and buys 3. How many?"]
    texts = client.complete(prompts, **own(), n=2).texts
    alone = [
        client.complete(prompt, **own(), seed=1 + i).texts[0]
        for i, prompt in enumerate(p for p in prompts for _ in range(2))
    ]
    assert texts == alone
    assert len(set(texts)) > 1
    assert client.complete(**own(), n=2, best_of=3).status == 200


def test_log_probabilities_and_ids_are_of_what_was_drawn(client: Client, model: Model) -> None:
    found = client.complete(**own(), logprobs=2, return_token_ids=True).body["choices"][0]
    told = found["logprobs"]
    wanted = model.fill(QUESTION, TEMPLATE, seed=1, temperature=0.7)
    assert found["token_ids"] == [token for span in wanted.spans for token in span.token_ids]
    assert told["token_logprobs"] == pytest.approx([p for span in wanted.spans for p in span.logprobs], abs=1e-4)
    for token, start in zip(told["tokens"], told["text_offset"], strict=True):
        assert found["text"][start : start + len(token)] == token


def test_a_conversation_takes_a_template(client: Client) -> None:
    found = client.chat(**own())
    assert found.status == 200
    text = found.body["choices"][0]["message"]["content"]
    assert text.startswith("12 +") and text.endswith(".")
    events = client.chat(**own(), stream=True).events
    assert "".join(c["delta"].get("content", "") for e in events for c in e["choices"]) == text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": 13}, "14 slots, and max_tokens is 13"),
        ({"suffix": "x"}, "suffix does not go with fef.template"),
        ({"stop": ["\n"]}, "stop does not go with fef.template"),
        ({"min_tokens": 2}, "min_tokens does not go with fef.template"),
        ({"response_format": {"type": "json_object"}}, "response_format does not go with fef.template"),
        ({"fef": {"template": TEMPLATE, "canvas": 20}}, "fef.canvas does not go with fef.template"),
        ({"fef": {"template": TEMPLATE, "stream": "canvas"}, "stream": True}, "fef.stream does not go with"),
        ({"fef": {"template": "x"}}, "a list of at most 64 parts"),
        ({"fef": {"template": [{"slots": -1}]}}, "slots=-1"),
        ({"fef": {"template": ["x" * 2_000_000, {"slots": 4}]}}, "characters"),
        (
            {"fef": {"template": [{"slots": 4, "regex": "[0-9]{200}"}]}},
            "There is no text of this grammar within 4 tokens",
        ),
        ({"fef": {"template": [{"slots": 4, "regex": "("}]}}, "The regular expression is not allowed"),
        ({"fef": {"template": [{"slots": 4, "choice": ["a"]}], "method": "threshold"}}, "from left to right"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_what_does_not_go_with_a_template_is_a_400(client: Client, fields: dict[str, Any], words: str) -> None:
    found = client.complete(**own() | fields)
    assert found.status == 400
    assert words in found.body["error"]["message"]
    assert client.complete(max_tokens=4).status == 200


def test_a_template_that_nobody_waits_for_frees_its_seat(client: Client) -> None:
    long = [part for i in range(6) for part in (f"{i}. ", {"slots": 60})]
    connection = client.connect()
    body = {"prompt": "A", "temperature": 1, "ignore_eos": True, "stream": True, "fef": {"template": long[:8]}}
    connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
    assert connection.getresponse().read(20)
    connection.close()
    client.wait_until_idle()
