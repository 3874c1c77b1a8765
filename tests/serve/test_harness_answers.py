"""lm-evaluation-harness over the server gives what it gives on the checkpoint itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from serving import Client, running

from fef.errors import EngineError, InputError
from fef.generation import Model

pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra eval)")

from lm_eval.api.instance import Instance

from fef.eval.harness import FefLM
from fef.eval.harness_requests import CHAT
from fef.eval.harness_server import FefServerLM

CANVAS = 24
STOPS = ["Question:", "</s>", "<|im_end|>"]  # of the harness's gsm8k


def asked(kind: str, pairs: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(kind, {}, pair, i, metadata=("task", i, 1)) for i, pair in enumerate(pairs)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def problems() -> list[tuple[str, str]]:
    """Questions and answers: the first 20 of gsm8k where FEF_DATA names the folder that has it, else two."""
    if "FEF_DATA" not in os.environ:
        return [("Tom has 3 apples and buys 4. How many?", "3 + 4 = 7"), ("Ann has 9 pens. How many?", "9")]
    lines = (Path(os.environ["FEF_DATA"]) / "gsm8k_test.jsonl").read_text("utf-8").splitlines()[:20]
    return [(line["question"], line["answer"].split("\n")[0][:40]) for line in map(json.loads, lines)]


@pytest.fixture(scope="module")
def here() -> FefLM:
    return FefLM("demo", max_new_tokens=CANVAS, device="cpu")


def over_http(client: Client, **options: Any) -> FefServerLM:
    return FefServerLM(f"http://127.0.0.1:{client.port}/v1", max_new_tokens=CANVAS, **options)


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"do_sample": True, "temperature": 0.7}], ids=str)
def test_answers_are_those_of_the_checkpoint(
    client: Client, here: FefLM, problems: list[tuple[str, str]], settings: dict[str, Any]
) -> None:
    pairs = [(f"Question: {question}\nAnswer:", {"until": STOPS, **settings}) for question, _ in problems]
    wanted = here.generate_until(asked("generate_until", pairs), disable_tqdm=True)
    assert over_http(client).generate_until(asked("generate_until", pairs), disable_tqdm=True) == wanted


def test_log_likelihoods_are_those_of_the_checkpoint(
    client: Client, here: FefLM, problems: list[tuple[str, str]]
) -> None:
    pairs = [(f"Question: {question}\nAnswer:", f" {answer}") for question, answer in problems]
    pairs += [("Question: How many? ", "5"), ("", "two"), ("three", "")]
    wanted = here.loglikelihood(asked("loglikelihood", pairs), disable_tqdm=True)
    found = over_http(client).loglikelihood(asked("loglikelihood", pairs), disable_tqdm=True)
    assert [logprob for logprob, _ in found] == pytest.approx([logprob for logprob, _ in wanted], abs=1e-6)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]


def test_texts_in_windows_are_those_of_the_checkpoint(client: Client, here: FefLM) -> None:
    texts = [("Tom has 12 apples. " * 90,), ("Ann has 5 pens.",)]
    wanted = here.loglikelihood_rolling(asked("loglikelihood_rolling", texts), disable_tqdm=True)
    found = over_http(client).loglikelihood_rolling(asked("loglikelihood_rolling", texts), disable_tqdm=True)
    assert found == pytest.approx(wanted, abs=1e-4)


def test_local_completions_answers_as_the_checkpoint(
    client: Client, here: FefLM, problems: list[tuple[str, str]]
) -> None:
    """It sends token ids and stop strings; its log-likelihoods are of `echo`, which `test_clients.py` has."""
    completions = pytest.importorskip("lm_eval.models.openai_completions", reason="lm-eval[api] is not installed")
    pytest.importorskip("tenacity", reason="lm-eval[api] is not installed")
    harness = completions.LocalCompletionsAPI(
        base_url=f"http://127.0.0.1:{client.port}/v1/completions",
        model="demo",
        tokenizer_backend="remote",
        max_gen_toks=CANVAS,
        max_length=256,
    )
    pairs = [(f"Question: {question}\nAnswer:", {"until": STOPS, "do_sample": False}) for question, _ in problems]
    wanted = here.generate_until(asked("generate_until", pairs), disable_tqdm=True)
    assert harness.generate_until(asked("generate_until", pairs), disable_tqdm=True) == wanted


def test_conversations_messages_and_errors_reach_the_server(client: Client) -> None:
    harness = over_http(client)
    text = harness.apply_chat_template([{"role": "user", "content": "How many?"}])
    assert text.startswith(CHAT)
    [found] = harness.generate_until(asked("generate_until", [(text, {})]), disable_tqdm=True)
    assert found == client.chat("How many?", temperature=0, seed=0).body["choices"][0]["message"]["content"]
    with pytest.raises(InputError, match=r"answered 400: .*no-such"):
        over_http(client, method="no-such").generate_until(asked("generate_until", [("A", {})]), disable_tqdm=True)
    with pytest.raises(EngineError, match="Start `fef serve` first"):
        FefServerLM("http://127.0.0.1:9")


def test_the_key_goes_with_every_request(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(model, api_key="secret") as client:
        with pytest.raises(InputError, match="answered 401"):
            over_http(client)
        monkeypatch.setenv("FEF_API_KEY", "secret")
        assert over_http(client).tokenizer_name == "demo"
