"""Trees of a draft head on a GPU: texts of `fef.decode` in float32, the same bits at any batch in bfloat16.

python -m pytest -s -m gpu tests/engine/test_draft_heads_on_gpu.py
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asking import METHODS, Ask, answered, asks, by_decode, differences, only, submitted
from device_waits import no_waits
from drafting_networks import drafting
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.bench.engine.serving import draw_problems
from fef.engine.engine import Engine
from fef.models.transformer import Transformer
from fef.tasks import FAMILIES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SIZE = {"dim": 64, "heads": 4, "head_dim": 16, "mlp_dim": 128}
SMALL: dict[str, Any] = {"max_batch": 4, "max_length": 16, "eos_id": EOS}
SHAPES: list[dict[str, Any]] = [
    {"tree": 8, "depth": 4, "anchors": 3},
    {"tree": 32, "anchors": 7},
    {"tree": 32, "depth": 6, "anchors": 8},
    {"tree": 64, "depth": 9, "anchors": 7},
]


def plain_network(dtype: torch.dtype = torch.float32) -> Transformer:
    return tiny_network(scale=0.2, **SIZE).to("cuda", dtype)


def drafting_network(dtype: torch.dtype = torch.float32) -> Transformer:
    return drafting(plain_network(dtype))


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_texts_are_those_of_decode(shape: dict[str, Any], head: bool) -> None:
    network = drafting_network() if head else plain_network()
    engine = Engine(network, **SMALL, **only(shape))
    asked = [asks(8, seed=i) for i in range(len(METHODS))]
    jobs = [submitted(engine, some, **method) for some, method in zip(asked, METHODS, strict=True)]
    engine.run()
    for some, method, theirs in zip(asked, METHODS, jobs, strict=True):
        found = [job.result() for job in theirs]
        assert differences(found, by_decode(plain_network(), some, EOS, **method), 1e-4) == []


@pytest.mark.parametrize("open_", [[1, 2], [2], [0, 1, 2, 3]], ids=str)
def test_a_short_text_is_that_of_decode_where_the_tree_is_larger_than_what_is_left(open_: list[int]) -> None:
    """The last slot's groups have no place behind it, so that none of them is seen."""
    ids = [MASK if place in open_ else 1 for place in range(max(open_) + 1)]
    asked = [Ask(ids, open_, {"temperature": temperature, "seed": 3}) for temperature in (0.0, 1.0)]
    engine = Engine(plain_network(), **SMALL | {"max_batch": 1}, tree=[32], windows=(), depth=6, anchors=8)
    assert differences(answered(engine, asked), by_decode(plain_network(), asked, EOS), 1e-4) == []


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_trees_take_the_passes_of_the_engine_on_a_cpu(shape: dict[str, Any]) -> None:
    """Not to the last one: a near tie may rank two drafts otherwise."""
    network = drafting_network()
    asked = asks(24, seed=3)
    calls = []
    for place in ("cuda", "cpu"):
        network = network.to(place)
        network.extras.draft_head.to(place)
        calls.append([a.counters["calls"] for a in answered(Engine(network, **SMALL, **only(shape)), asked)])
    assert sum(one != other for one, other in zip(*calls, strict=True)) <= 2


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bitwise_the_same_in_any_batch(shape: dict[str, Any], head: bool) -> None:
    network = drafting_network(torch.bfloat16) if head else plain_network(torch.bfloat16)
    asked = asks(32, seed=2)
    expected = answered(Engine(network, **SMALL | {"max_batch": 1}, **only(shape)), asked)
    for batch in (4, 16):
        engine = Engine(network, **SMALL | {"max_batch": batch}, **only(shape))
        for some, wanted in ((asked, expected), (asked[::-1], expected[::-1])):
            found = answered(engine, some)
            assert [(a.tokens, a.logprobs) for a in found] == [(a.tokens, a.logprobs) for a in wanted]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_head_of_the_demo_saves_passes(temperature: float) -> None:
    """And texts are those of one token per pass, but for near ties."""
    model = fef.load("demo", device="cuda", dtype=torch.float32)
    prompts = [problem.prompt for problem in draw_problems(list(FAMILIES), 12, seed=11)]
    asked: dict[str, Any] = {"temperature": temperature, "max_new_tokens": 96}
    shape = only({"tree": 32, "depth": 12, "anchors": 7, "max_batch": 16})
    expected = model.engine(max_batch=16).generate(prompts, method="sequential", verify="packed", **asked)
    with_head = model.engine(**shape).generate(prompts, **asked)
    model.network.extras = None
    without = model.engine(**shape).generate(prompts, **asked)
    calls = [sum(out.stats["calls"] for out in found) for found in (with_head, without)]
    print(f"tokens per pass: {[sum(len(out.token_ids) for out in with_head) / one for one in calls]}")
    assert calls[0] < calls[1]
    for found in (with_head, without):
        same = [one.token_ids == other.token_ids for one, other in zip(found, expected, strict=True)]
        assert sum(same) >= len(same) - 1


def test_nothing_waits_inside_a_round() -> None:
    network = drafting_network()
    engine = Engine(network, **SMALL | {"eos_id": None}, tree=[16], windows=(), anchors=3)
    answered(engine, asks(8, seed=1))
    packed = engine.packed_rounds()
    ask = Ask([MASK] * 14, list(range(14)), {"temperature": 0.7, "seed": 1})
    [job] = submitted(engine, [ask])
    packed.admit()
    packed.round()
    with no_waits():
        for _ in range(2):
            packed.round()
    engine.run()
    assert differences([job.result()], by_decode(network, [ask]), 1e-4) == []
