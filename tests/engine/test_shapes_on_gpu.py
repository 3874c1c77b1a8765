"""Shapes chosen by measured cost on a GPU: no text depends on them, tokens come as predicted, and no round waits.

    python -m pytest -s -m gpu tests/engine/test_shapes_on_gpu.py

takes a minute or two, most of it for the first compilation of each kernel.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest
import torch
from asking import Ask, answered, asks, by_decode, differences, submitted
from device_waits import no_waits
from drafting_networks import drafting
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.bench.engine.serving import draw_problems
from fef.engine.engine import Engine
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SIZE = {"dim": 64, "heads": 4, "head_dim": 16, "mlp_dim": 128}
SMALL: dict[str, Any] = {"max_length": 16, "eos_id": EOS}
MIXED: dict[str, Any] = {"windows": (0, 2, 8), "tree": [8], "depth": 4, "anchors": 3}


@pytest.fixture(scope="module")
def network() -> Transformer:
    return drafting(tiny_network(scale=0.2, **SIZE).to("cuda", torch.float32))


@pytest.mark.parametrize("batch", [1, 64])
def test_texts_are_those_of_decode_whatever_was_chosen(network: Transformer, batch: int) -> None:
    asked = asks(max(12, 2 * batch), seed=batch)
    engine = Engine(network, max_batch=batch, **SMALL, **MIXED)
    expected = by_decode(network, asked, EOS)
    for _ in range(2):  # while costs are measured, and when they are known
        assert differences(answered(engine, asked), expected, 1e-4) == []
    costs = engine.packed_rounds().chooser.costs.seconds
    print(
        f"\n{ {(rows, shape.words): f'{seconds * 1e3:.3f} ms' for (rows, shape), seconds in sorted(costs.items(), key=str)} }"
    )
    assert costs and all(1e-6 < seconds < 0.1 for seconds in costs.values())


def in_turn(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shape for two rounds: behind one of another kind a round has no drafts."""
    packed = engine.packed_rounds()
    turns = cycle([shape for shape in packed.built.shapes for _ in range(2)])
    monkeypatch.setattr(packed.chooser, "next_shape", lambda _: next(turns))


@pytest.mark.parametrize("batch", [1, 64])
def test_texts_are_those_of_decode_where_shapes_change_under_way(
    network: Transformer, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is a round behind when the next shape is another one."""
    asked = asks(max(24, 6 * batch), seed=7)
    engine = Engine(network, max_batch=batch, **SMALL, **MIXED)
    in_turn(engine, monkeypatch)
    assert differences(answered(engine, asked), by_decode(network, asked, EOS), 1e-4) == []
    assert {tally.shape for tally in engine.tallies} == set(engine.shapes)
    assert sum(tally.tokens - tally.rows for tally in engine.tallies) > 0, "drafts held"


def test_no_round_waits_when_costs_are_known(network: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(network, max_batch=4, **SMALL | {"eos_id": None}, **MIXED)
    engine.measure()
    in_turn(engine, monkeypatch)
    answered(engine, asks(12, seed=7))
    packed = engine.packed_rounds()
    jobs = submitted(engine, [Ask([MASK] * 14, list(range(14)), {"temperature": 0.7, "seed": i}) for i in range(4)])
    packed.admit()
    packed.round()
    monkeypatch.undo()  # choose again
    packed.chooser.next_shape(4)
    with no_waits():
        for _ in range(3):
            packed.round()
    for job in jobs:
        job.cancel()
    engine.run()


def test_a_warm_engine_captures_no_round_while_requests_wait(network: Transformer) -> None:
    engine = Engine(network, max_batch=4, **SMALL, **MIXED)
    engine.warm_up()
    chooser = engine.packed_rounds().chooser
    captured = chooser.graphs
    assert {(size, shape) for size in (1, 2, 4) for shape in engine.shapes} <= set(chooser.costs.seconds)
    asked = [
        ask for ask in asks(24, seed=9) if ask.settings.get("top_p") in (None, 1.0) and not ask.settings.get("top_k")
    ]
    assert differences(answered(engine, asked), by_decode(network, asked, EOS), 1e-4) == []
    assert captured == chooser.graphs


def totals(engine: Engine) -> dict[RoundShape, tuple[float, int]]:
    return {tally.shape: (tally.predicted, tally.tokens) for tally in engine.tallies}


@pytest.mark.parametrize(("batch", "count"), [(1, 8), (64, 128)])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_tokens_of_the_demo_come_as_predicted(batch: int, count: int, temperature: float) -> None:
    """And texts are those of one token per pass, but for near ties."""
    model = fef.load("demo", device="cuda", dtype=torch.float32)
    prompts = [problem.prompt for problem in draw_problems(["word-problems", "python"], count // 2, seed=5)]
    asked: dict[str, Any] = {"temperature": temperature, "max_new_tokens": 64}
    one = model.engine(max_batch=batch, windows=(0,)).generate(prompts, method="sequential", verify="packed", **asked)
    engine = model.engine(max_batch=batch, windows=(0, 4, 16), tree=[16])
    for _ in range(3):
        engine.generate(prompts, **asked)
    before = totals(engine.engine)
    found = engine.generate(prompts, **asked)
    after = {shape: (now[0] - before.get(shape, (0.0, 0))[0], now[1] - before.get(shape, (0.0, 0))[1])
             for shape, now in totals(engine.engine).items()}  # fmt: skip
    predicted, real = (sum(each[part] for each in after.values()) for part in (0, 1))
    print(f"\nbatch {batch}, T={temperature}: predicted {predicted:.0f} tokens, real {real}, of rounds "
          f"{ {shape.words: each[1] for shape, each in after.items()} }")  # fmt: skip
    # less comes in a round behind one of another shape, which is not what is predicted
    assert 0.7 < real / predicted < 1.2
    same = [a.token_ids == b.token_ids for a, b in zip(found, one, strict=True)]
    assert sum(same) >= len(same) - 1 - len(same) // 64
