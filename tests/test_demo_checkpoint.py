"""The shipped checkpoint in float32: what its text may depend on, and that it answers."""

from __future__ import annotations

import dataclasses

import pytest

import fef
from fef.tasks import demo_problems, generate, score
from fef.text import TextFormat

PROMPTS = [p.prompt for family in ("word-problems", "joint") for p in generate(family, 2, 3, split="held-out")]


@pytest.fixture(scope="module")
def model() -> fef.Model:
    return fef.load("demo", device="cpu")


def ids(outs: list[fef.Generation]) -> list[list[int]]:
    return [out.token_ids for out in outs]


def test_it_answers_the_demo_problems(model: fef.Model) -> None:
    for problem in demo_problems():
        out = model.generate(problem.prompt)
        assert score(problem, out.text)
        assert out.certificate.kind == "greedy"


@pytest.mark.parametrize(
    ("temperature", "verify"),
    [
        (0.0, "packed"),
        (0.7, "packed"),
        (0.7, "rows"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(0.0, "rows"), (1.0, "packed"), (1.0, "rows")]),
    ],
)
def test_the_text_is_that_of_sequential_for_any_window_and_drafter(
    model: fef.Model, temperature: float, verify: str
) -> None:
    longest = 24 if verify == "packed" else 12
    settings = {"temperature": temperature, "seed": [5, 6, 7, 8], "max_new_tokens": longest, "verify": verify}
    base = ids(model.generate(PROMPTS, method="sequential", **settings))
    tries = [(1, "fresh"), (4, "reuse"), (16, "reuse"), (4, "random")]
    for window, draft in tries if verify == "packed" else tries[1:2]:
        assert ids(model.generate(PROMPTS, window=window, draft=draft, **settings)) == base


def test_a_row_is_the_same_alone_in_a_batch_of_32_and_elsewhere_in_it(model: fef.Model) -> None:
    prompts, seeds = (PROMPTS * 8)[:32], list(range(32))
    settings = {"temperature": 0.7, "max_new_tokens": 12}
    whole = ids(model.generate(prompts, seed=seeds, **settings))
    turned = ids(model.generate(prompts[::-1], seed=seeds[::-1], **settings))
    assert turned[::-1] == whole
    for i in (0, 9, 31):
        assert model.generate(prompts[i], seed=seeds[i], **settings).token_ids == whole[i]


def test_score_is_the_log_likelihood_of_what_was_generated(model: fef.Model) -> None:
    out = model.generate(PROMPTS[0], temperature=1.0, seed=3)
    scored = model.score(PROMPTS[0], out.text, temperature=1.0)
    assert scored.token_ids[: len(out.token_ids)] == out.token_ids
    assert scored.logprobs[: len(out.logprobs)] == pytest.approx(out.logprobs, abs=1e-3)


def test_typed_mask_text_is_text(model: fef.Model) -> None:
    prompt = "Reverse these words: <mask>, dog."
    assert model.network.mask_id not in model.tokenizer.encode(prompt)
    assert model.tokenizer.decode(model.tokenizer.encode(prompt)) == prompt
    assert model.generate("", max_new_tokens=8).finish_reason in ("stop", "length")


def test_a_text_ends_at_its_first_end_whichever_that_is(model: fef.Model) -> None:
    certificate = model.generate("1 + 1", max_new_tokens=1).certificate
    config = model.network.config
    assert config.eos_id is not None
    text = TextFormat(dataclasses.replace(config, stop_ids=(7, 8)), model.tokenizer, "demo")
    for ids, count in (
        ([5, config.eos_id, 8, 7], 1),
        ([5, 6, 8, config.eos_id, 7], 2),
        ([7, 5, config.eos_id], 0),
        ([5, 6], 2),
    ):
        found = text.generation(ids, [-1.0] * len(ids), {}, certificate)
        assert found.token_ids == ids[:count] and found.finish_reason == ("length" if count == len(ids) else "stop")
