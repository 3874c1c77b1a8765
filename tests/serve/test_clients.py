"""The packages that people use drive the server, with the very blocks of docs/clients.md."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
from serving import Client

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
PROMPT = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of packages that are not ours
]


def needs(name: str) -> Any:
    """The package, or a skip that says why."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} is not installed (pip install 'fef[test-clients]'): {error}")


def blocks(heading: str, language: str, client: Client) -> list[str]:
    """The blocks below a heading of the page, for the server of the tests."""
    section = PAGE.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return [block.replace("127.0.0.1:8000", f"127.0.0.1:{client.port}") for block in found]


def run(block: str, space: dict[str, Any] | None = None) -> dict[str, Any]:
    space = {} if space is None else space
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(block, str(PAGE), "exec"), space)
    return space


def own_text(client: Client) -> str:
    return client.complete(PROMPT, max_tokens=64, temperature=0.7).texts[0]


def test_the_blocks_of_curl(client: Client) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    complete, score = (
        json.loads(subprocess.run(["sh", "-c", block], capture_output=True, check=True, timeout=60).stdout)
        for block in blocks("curl", "bash", client)
    )
    assert complete["choices"][0]["text"] == client.complete(PROMPT, max_tokens=64, temperature=0).texts[0]
    assert score["logprob"] < 0


def test_the_blocks_of_openai(client: Client) -> None:
    needs("openai")
    one, two = blocks("openai", "python", client)
    space = run(one)
    assert space["text"] == own_text(client)
    assert "chain law" in space["law"]
    assert len(space["answer"].choices[0].logprobs.top_logprobs[0]) in (2, 3)
    assert run(two, space)["text"] == own_text(client)


def test_openai_sees_errors_as_its_own(client: Client) -> None:
    openai = needs("openai")
    asking = openai.OpenAI(base_url=f"http://127.0.0.1:{client.port}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        asking.completions.create(model="demo", prompt="x", temperature=-1)
    with pytest.raises(openai.NotFoundError):
        asking.completions.create(model="another", prompt="x")
    with pytest.raises(openai.NotFoundError):
        asking.responses.create(model="demo", input="x")
    assert [model.id for model in asking.models.list()] == ["demo"]
    assert asking.models.retrieve("demo").id == "demo"


def test_openai_reads_log_p_choices_and_usage(client: Client) -> None:
    openai = needs("openai")
    asking = openai.OpenAI(base_url=f"http://127.0.0.1:{client.port}/v1", api_key="none")
    answer = asking.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": PROMPT}],
        max_completion_tokens=12,
        n=3,
        seed=4,
        temperature=2.0,
        logprobs=True,
        top_logprobs=3,
        logit_bias={"5": -100},
        stop=["zzz"],
        user="me",
    )
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert [len(token.top_logprobs) for token in answer.choices[0].logprobs.content] == [3] * len(
        answer.choices[0].logprobs.content
    )
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_block_of_langchain(client: Client) -> None:
    needs("langchain_openai")
    [block] = blocks("LangChain", "python", client)
    space = run(block)
    assert space["text"] == space["same"] == space["streamed"] == own_text(client)


def test_the_block_of_litellm(client: Client) -> None:
    needs("litellm")
    [block] = blocks("LiteLLM", "python", client)
    assert run(block)["text"] == own_text(client)


def test_the_block_of_the_harness(client: Client, model: Any) -> None:
    needs("lm_eval.models.openai_completions")
    needs("tenacity")  # of lm-eval[api], which is looked for when a model is made
    from lm_eval.api.instance import Instance

    [block] = blocks("lm-evaluation-harness", "python", client)
    harness = run(block)["harness"]
    pairs = [("Tom has 12 apples.", " He buys 3 bags."), ("Ann has", " 5 pens.")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    for (context, continuation), (logprob, greedy) in zip(pairs, harness.loglikelihood(asked), strict=True):
        before, ids = model.prompt_ids(context), model.prompt_ids(context + continuation)
        places = range(1, len(ids))
        scored = model.score_ids(ids, places, places)
        assert logprob == pytest.approx(sum(scored.logprobs[len(before) - 1 :]), abs=1e-3)
        assert isinstance(greedy, bool)
    asked = [Instance("generate_until", {}, (PROMPT, {"until": ["\n\n"], "max_gen_toks": 24}), 0)]
    assert harness.generate_until(asked) == client.complete(PROMPT, temperature=0, stop=["\n\n"]).texts
