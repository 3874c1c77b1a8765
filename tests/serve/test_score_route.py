"""`/v1/score` gives the exact log p of a response under the law of a completion."""

from __future__ import annotations

import math
from threading import Thread
from typing import Any

import pytest
from serving import QUESTION, Client

from fef.generation import Model


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_the_score_of_an_answer_is_its_own_log_p(client: Client, temperature: float) -> None:
    fields = {"temperature": temperature, "max_tokens": 64}
    told = client.complete(return_token_ids=True, logprobs=0, **fields).body
    choice = told["choices"][0]
    assert choice["finish_reason"] == "stop"
    score = client.post("/v1/score", {"prompt": QUESTION, "response": choice["text"], **fields}).body
    assert score["token_ids"][:-1] == choice["token_ids"]
    assert score["token_logprobs"][:-1] == pytest.approx(choice["logprobs"]["token_logprobs"], abs=1e-4)
    assert score["logprob"] == pytest.approx(told["fef"]["choices"][0]["logprob"], abs=1e-4)
    assert score["fef"]["certificate"] == told["fef"]["certificate"]


def test_another_canvas_is_another_law(client: Client) -> None:
    asked = {"prompt": QUESTION, "response": "Tom starts with 12 apples."}
    one, other = (client.post("/v1/score", asked | {"max_tokens": n}).body["logprob"] for n in (16, 64))
    assert abs(one - other) > 1e-3


def test_it_is_the_score_of_the_model_and_takes_messages(client: Client, model: Model) -> None:
    asked = {"response": "30", "max_tokens": 8, "fef": {"method": "sequential"}}
    found = client.post("/v1/score", {"messages": [{"role": "user", "content": QUESTION}], **asked}).body
    alone = model.score(QUESTION, "30", max_new_tokens=8, method="sequential")
    assert found["logprob"] == pytest.approx(alone.total, abs=1e-4)


def test_it_answers_while_others_are_served(client: Client) -> None:
    beside = Thread(target=lambda: client.complete(max_tokens=128, n=4, temperature=2.0))
    beside.start()
    assert client.post("/v1/score", {"prompt": QUESTION, "response": "30"}).status == 200
    beside.join()


@pytest.mark.parametrize(
    "fields",
    [{}, {"response": 5}, {"prompt": None}, {"response": "many words " * 200}, {"fef": {"method": "low-confidence"}}],
)
def test_what_has_no_score_is_refused(client: Client, fields: dict[str, object]) -> None:
    asked = {"prompt": QUESTION, "response": "30"} | fields if fields else {"prompt": QUESTION}
    assert client.post("/v1/score", asked).status == 400


@pytest.mark.parametrize("fields", [{}, {"suffix": " That is all."}, {"top_k": 3}])
def test_the_likeliest_tokens_are_those_of_the_law(client: Client, fields: dict[str, Any]) -> None:
    """At temperature 0 the text is the likeliest token at each step, and those after it come in their order."""
    asked = {"max_tokens": 24, **fields}
    ids = client.complete(return_token_ids=True, temperature=0.0, **asked).body["choices"][0]["token_ids"]
    body = {"prompt": QUESTION, "response_token_ids": ids, "temperature": 1.0, "top_logprobs": 5, **asked}
    score = client.post("/v1/score", body).body
    assert score["token_ids"][: len(ids)] == ids
    for token, logprob, top in zip(ids, score["token_logprobs"], score["top_logprobs"], strict=False):
        logprobs = [each["logprob"] for each in top]
        assert (top[0]["id"], top[0]["logprob"]) == (token, logprob)
        assert logprobs == sorted(logprobs, reverse=True)
        assert len({each["id"] for each in top}) == len(top) == min(5, fields.get("top_k", 5))
        assert sum(map(math.exp, logprobs)) <= 1 + 1e-9
        assert (sum(map(math.exp, logprobs)) > 1 - 1e-6) >= ("top_k" in fields)


def test_no_likeliest_tokens_are_told_unasked(client: Client) -> None:
    assert "top_logprobs" not in client.post("/v1/score", {"prompt": QUESTION, "response": "30"}).body


def test_ids_of_a_response_are_its_text(client: Client) -> None:
    ids = client.post("/tokenize", {"prompt": "Tom starts"}).body["tokens"]
    by_text, by_ids = (
        client.post("/v1/score", {"prompt": QUESTION, **one}).body
        for one in ({"response": "Tom starts"}, {"response_token_ids": ids})
    )
    assert by_text == by_ids


@pytest.mark.parametrize(
    "fields", [{"top_logprobs": 21}, {"top_logprobs": -1}, {"response_token_ids": [10**6]}, {"response_token_ids": "a"}]
)
def test_a_score_that_cannot_be_is_refused(client: Client, fields: dict[str, object]) -> None:
    assert client.post("/v1/score", {"prompt": QUESTION, "response": "30"} | fields).status == 400
