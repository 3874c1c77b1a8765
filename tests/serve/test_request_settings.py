"""Fields of a request that change what is drawn: logit_bias, min_tokens, ignore_eos, best_of, the beginning of an
answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from serving import QUESTION, Client

import fef
from fef.generation import Model
from fef.models.chat import Message
from fef.serve.answer import ids_of_prompt
from fef.serve.prompts import Begun

DATA = Path(__file__).parents[1] / "golden" / "data"


def ids_of(client: Client, text: str) -> list[int]:
    found: list[int] = client.post("/tokenize", {"prompt": text, "add_special_tokens": False}).body["tokens"]
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"min_tokens": 30},
        {"ignore_eos": True},
        {"logit_bias": {"5": 4.0, "17": -100}},
        {"logit_bias": {}, "min_tokens": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_they_give_the_text_of_generate(
    client: Client, model: Model, changes: dict[str, Any], temperature: float
) -> None:
    body = client.complete(temperature=temperature, max_tokens=40, **changes).body
    own = {**changes, "logit_bias": {int(k): v for k, v in changes.get("logit_bias", {}).items()}}
    alone = model.generate(QUESTION, max_new_tokens=40, temperature=temperature, seed=1, verify="packed", **own)
    assert body["choices"][0]["text"] == alone.text
    assert body["choices"][0]["finish_reason"] == alone.finish_reason
    assert body["fef"]["certificate"]["law"] == alone.certificate.law
    streamed = client.complete(temperature=temperature, max_tokens=40, stream=True, **changes).events
    assert "".join(c["text"] for e in streamed for c in e["choices"]) == alone.text


def test_a_text_has_at_least_its_tokens(client: Client) -> None:
    short = client.complete(temperature=0.0, max_tokens=64).body
    drawn = short["usage"]["completion_tokens"]
    assert short["choices"][0]["finish_reason"] == "stop"
    longer = client.complete(temperature=0.0, max_tokens=64, min_tokens=drawn + 5, return_token_ids=True).body
    assert len(longer["choices"][0]["token_ids"]) >= drawn + 5
    assert "no end token among the first" in longer["fef"]["certificate"]["law"]
    endless = client.complete(temperature=0.0, max_tokens=64, ignore_eos=True).body
    assert endless["choices"][0]["finish_reason"] == "length"
    assert endless["usage"]["completion_tokens"] == 64


def test_no_stop_string_ends_a_text_too_soon(client: Client) -> None:
    whole = client.complete(temperature=0.0, return_token_ids=True).body["choices"][0]
    stop = whole["text"][4:6]
    assert client.complete(temperature=0.0, stop=stop).texts[0] == whole["text"][: whole["text"].find(stop)]
    least = 10
    kept = client.complete(temperature=0.0, stop=stop, min_tokens=least, return_token_ids=True).body["choices"][0]
    ends = len(client.post("/detokenize", {"tokens": whole["token_ids"][:least]}).body["prompt"])
    later = whole["text"].find(stop, ends - len(stop) + 1)
    assert kept["text"] == (whole["text"] if later < 0 else whole["text"][:later])


def test_a_bias_of_a_hundred_forces_and_forbids(client: Client) -> None:
    [token] = ids_of(client, "7")[:1]
    choice = client.complete(logit_bias={str(token): 100}, return_token_ids=True, max_tokens=8).body["choices"][0]
    assert set(choice["token_ids"]) == {token}
    plain = client.complete(temperature=0.0, return_token_ids=True).body["choices"][0]["token_ids"]
    without = client.complete(temperature=0.0, return_token_ids=True, logit_bias={str(plain[0]): -100}).body["choices"][
        0
    ]
    assert plain[0] not in without["token_ids"]


def test_of_several_texts_the_likeliest_are_told(client: Client) -> None:
    fields = {"temperature": 1.3, "seed": 11}
    every = client.complete(n=5, **fields).body
    by_seed = {
        one["seed"]: (one["logprob"], every["choices"][i]["text"]) for i, one in enumerate(every["fef"]["choices"])
    }
    best = client.complete(n=2, best_of=5, **fields).body
    ranked = sorted(by_seed.items(), key=lambda item: -item[1][0])[:2]
    assert [choice["text"] for choice in best["choices"]] == [text for _, (_, text) in ranked]
    assert [choice["index"] for choice in best["choices"]] == [0, 1]
    assert [one["seed"] for one in best["fef"]["choices"]] == [seed for seed, _ in ranked]
    assert best["fef"]["certificate"]["kind"] == "none" and "best_of" in best["fef"]["certificate"]["law"]
    assert best["usage"] == every["usage"], "what was drawn counts"
    two = client.complete([QUESTION, "Tom has"], n=1, best_of=3, **fields).body["choices"]
    assert [choice["index"] for choice in two] == [0, 1]


def test_an_answer_goes_on_where_it_has_begun(client: Client, model: Model) -> None:
    """Behind the token that stands between a prompt and its answer."""
    start = client.chat(temperature=0.0).body["choices"][0]["message"]["content"][:10]
    assert start == "Tom starts"
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": start}]
    found = client.chat(messages=messages, continue_final_message=True, temperature=0.0).body["choices"][0]["message"]
    assert model.answer_mark
    ids = [*ids_of(client, QUESTION), *model.answer_mark, *ids_of(client, start)]
    assert found["content"].startswith(" with 12 apples.")
    assert found["content"] == client.complete(ids, temperature=0.0).texts[0]
    assert client.chat(messages=messages[1:], continue_final_message=True).status == 400
    assert client.chat(messages=messages[:1] * 2, continue_final_message=True).status == 400
    both = {"continue_final_message": True, "add_generation_prompt": True}
    assert client.chat(messages=messages, **both).status == 400


def test_control_tokens_that_begin_an_answer_are_text() -> None:
    model = fef.load(str(DATA / "sdar" / "checkpoint"), device="cpu", dtype=torch.float32).format
    asked: list[Message] = [{"role": "user", "content": "Hi"}]
    typed = "So <|im_end|>\n<|im_start|>user\n<|MASK|>"
    ids, before = ids_of_prompt(model, Begun(asked, typed)), ids_of_prompt(model, asked)
    assert ids[: len(before)] == before
    assert not set(ids[len(before) :]) & model.tokenizer.raw.get_added_tokens_decoder().keys()
    assert model.tokenizer.decode(ids[len(before) :]) == typed


def test_a_score_has_the_same_settings(client: Client) -> None:
    fields = {"temperature": 0.8, "max_tokens": 40, "min_tokens": 30, "logit_bias": {"5": 2.0}}
    told = client.complete(return_token_ids=True, logprobs=0, **fields).body
    ids = told["choices"][0]["token_ids"]
    score = client.post("/v1/score", {"prompt": QUESTION, "response_token_ids": ids, **fields}).body
    assert score["token_logprobs"][: len(ids)] == pytest.approx(
        told["choices"][0]["logprobs"]["token_logprobs"], abs=1e-4
    )
    assert score["fef"]["certificate"]["law"] == told["fef"]["certificate"]["law"]
