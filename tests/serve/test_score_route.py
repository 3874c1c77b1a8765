"""`/v1/score` gives the exact log p of a response under the law of a completion."""

from __future__ import annotations

from threading import Thread

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
