"""Texts that are encoded ahead have the ids that each of them has alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

import fef
from fef.generation import Model
from fef.models import encode_ahead as ahead
from fef.models.encode_ahead import encode_ahead
from fef.models.typed import Guarded
from fef.text import Prompt

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "data"
COUNTS = [0, 1, 31, 32, 33, 63, 64, 65, 150]


@pytest.fixture(scope="module", params=["demo", "llada", "dream", "sdar"])
def model(request: pytest.FixtureRequest) -> Model:
    if request.param == "demo":
        return fef.load("demo", device="cpu")
    return fef.load(str(CHECKPOINTS / request.param / "checkpoint"), device="cpu", dtype=torch.float32)


def prompts_of(model: Model, count: int) -> list[Prompt]:
    """Texts, texts with control tokens in them, and conversations if the model has any."""
    raw = model.tokenizer.raw
    controls = [raw.id_to_token(i) for i in (model.network.mask_id, model.network.config.eos_id)]
    found: list[Prompt] = []
    for i in range(count):
        text = f"é漢字 {i}: a{controls[i % 2] or ''} b \U000f0000"[: 4 + 3 * (i % 9)]
        found.append([{"role": "user", "content": text}] if model.template is not None and i % 3 == 1 else text)
    return found


@pytest.mark.parametrize("count", COUNTS)
def test_ids_are_those_of_each_prompt_alone(model: Model, count: int) -> None:
    prompts = prompts_of(model, count)
    assert list(model.prompts_ids(prompts)) == [model.prompt_ids(prompt) for prompt in prompts]


@pytest.mark.parametrize("place", [0, 1, 31, 32, 40, 70, 99])
@pytest.mark.parametrize("bad", [7, "\ud800", []], ids=repr)
def test_a_bad_prompt_is_refused_behind_those_before_it(place: int, bad: Prompt) -> None:
    demo = fef.load("demo", device="cpu")
    prompts = prompts_of(demo, 100)
    expected = [demo.prompt_ids(prompt) for prompt in prompts[:place]]
    with pytest.raises(fef.InputError) as alone:
        demo.prompt_ids(bad)
    prompts[place] = bad
    found = demo.prompts_ids(prompts)
    assert list(islice(found, place)) == expected
    with pytest.raises(fef.InputError) as refused:
        next(found)
    assert str(refused.value) == str(alone.value)


def test_texts_are_read_one_at_a_time_and_no_thread_stays() -> None:
    tokenizer = fef.load("demo", device="cpu").tokenizer
    read: list[int] = []

    def texts() -> Iterator[Guarded]:
        for number in range(200):
            read.append(number)
            yield Guarded(f"{number} apples", "!")

    before = threading.active_count()
    found = encode_ahead(tokenizer, texts())
    assert not read
    for given in range(100):
        next(found)
        assert len(read) <= given + ahead._AHEAD + 1
        assert given < 64 or len(read) == given + ahead._AHEAD
    assert threading.active_count() == before + 1
    found.close()
    assert threading.active_count() == before


def test_what_goes_wrong_in_the_other_thread_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = fef.load("demo", device="cpu").tokenizer

    def broken(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(tokenizer, "encode_batch", broken)
    with pytest.raises(RuntimeError, match="no"):
        next(encode_ahead(tokenizer, [Guarded("a", "!")] * 40))
