"""The engine on a GPU: as `fef.decode` in float32, batch invariant to the bit in bfloat16, and never waiting inside a round.

    python -m pytest -s -m gpu tests/engine/test_engine_on_gpu.py

takes two to three minutes, most of it for the first compilation of each kernel. Networks have heads of 16 and matrices whose
rows are whole numbers of 16 bytes, which is what the kernels are made for.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from asking import METHODS, Ask, answered, asks, by_decode, differences, submitted
from device_waits import no_waits
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.engine.costs import CostTable
from fef.engine.engine import Engine
from fef.engine.graphs import GraphRunner
from fef.errors import DenoiserError, EngineError
from fef.models.checkpoint import demo_path, load_checkpoint
from fef.models.quantize import quantize_
from fef.verify.statistics import g_test
from fef.verify.texts import Law

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SIZE = {"dim": 64, "heads": 4, "head_dim": 16, "mlp_dim": 128}
SMALL = {"max_batch": 4, "max_length": 16, "windows": (4,)}
EOS_IDS = pytest.mark.parametrize("eos_id", [None, EOS])


def network_of(dtype: torch.dtype = torch.float32, scale: float = 0.2, **config: Any):
    return tiny_network(scale=scale, **SIZE | config).to("cuda", dtype)


@pytest.fixture(scope="module")
def tiny():
    return network_of()


@pytest.fixture(scope="module")
def tiny16():
    return network_of(torch.bfloat16)


@pytest.fixture(scope="module")
def demo16():
    return load_checkpoint(demo_path(), "cuda", torch.bfloat16)[0]


def graphs_of(engine: Engine) -> GraphRunner:
    runner = engine.packed.built.runner
    assert isinstance(runner, GraphRunner)
    return runner


# --- float32: as fef.decode ---


@EOS_IDS
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method(tiny, method, eos_id):
    asked = asks(24, seed=1)
    engine = Engine(tiny, eos_id=eos_id, **SMALL)
    assert differences(answered(engine, asked, **method), by_decode(tiny, asked, eos_id, **method), 1e-4) == []


@pytest.mark.parametrize(
    "shape",
    [
        {"windows": (0,), "max_batch": 1},
        {"windows": (1,), "anchors": 1, "max_batch": 3},
        {"windows": (4,), "anchors": 3, "max_batch": 16},
        {"windows": (16,), "anchors": 2, "max_batch": 3},
        {"windows": (0, 4), "max_batch": 5},
    ],
    ids=str,
)
def test_no_setting_of_the_engine_changes_a_result(tiny, shape):
    engine = Engine(tiny, eos_id=EOS, max_length=16, **shape)
    asked = [asks(8, seed=i) for i in range(len(METHODS))]
    jobs = [submitted(engine, some, **method) for some, method in zip(asked, METHODS, strict=True)]
    engine.run()
    for some, method, theirs in zip(asked, METHODS, jobs, strict=True):
        found = [job.result() for job in theirs]
        assert differences(found, by_decode(tiny, some, EOS, **method), 1e-4) == []


@pytest.mark.parametrize(
    "config",
    [
        {"heads": 4, "kv_heads": 2},
        {"qk_norm": True, "qkv_bias": True, "out_bias": True},
        {"tied_embeddings": False, "rotary_dim": 8},
        {"head_dim": 32},
        {"heads": 3, "head_dim": 48},  # no power of two, as in the demo checkpoint
    ],
    ids=str,
)
def test_other_networks(config):
    network = network_of(**config)
    asked = asks(24, seed=2)
    expected = by_decode(network, asked, EOS)
    assert differences(answered(Engine(network, eos_id=EOS, **SMALL), asked), expected, 1e-4) == []


@pytest.mark.parametrize("format", ["int8", "fp8"])
def test_quantized_weights(format):
    """Texts agree but for near ties: kernels round otherwise than the plain product."""
    network = quantize_(network_of(), format)
    asked = asks(48, seed=3)
    wrong = differences(answered(Engine(network, **SMALL), asked), by_decode(network, asked), 1e-3)
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("method", [METHODS[0], METHODS[1], METHODS[7]], ids=str)
def test_the_demo_checkpoint(method):
    model = fef.load("demo", device="cuda", dtype=torch.float32)
    network = model.network
    asked = asks(24, seed=4, longest=90, vocabulary=1000, mask=network.mask_id)
    engine = Engine(network, eos_id=network.config.eos_id, max_batch=16, max_length=96, windows=(8,))
    expected = by_decode(network, asked, network.config.eos_id, **method)
    assert differences(answered(engine, asked, **method), expected, 1e-3) == []


def test_the_comparison_has_teeth(tiny):
    asked = asks(24, seed=1)
    other = [Ask(a.ids, a.open, a.settings | {"seed": a.settings["seed"] + 1}) for a in asked]
    assert len(differences(answered(Engine(tiny, **SMALL), asked), by_decode(tiny, other), 1e-4)) > 5


# --- bfloat16: batch invariant ---


def bits(engine: Engine, asked: list[Ask], **method: Any) -> list[tuple[Any, ...]]:
    return [(a.tokens, [x.hex() for x in a.logprobs]) for a in answered(engine, asked, **method)]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_bitwise_the_same_in_any_batch(tiny16, method):
    asked = asks(40, seed=5)
    expected = bits(Engine(tiny16, eos_id=EOS, **SMALL | {"max_batch": 1}), asked, **method)
    for batch in (3, 16):
        engine = Engine(tiny16, eos_id=EOS, **SMALL | {"max_batch": batch})
        assert bits(engine, asked, **method) == expected
        assert bits(engine, asked[::-1], **method) == expected[::-1]  # the same engine again, other neighbours


def test_bitwise_the_same_on_the_demo_checkpoint_beside_other_methods(demo16):
    asked = asks(48, seed=6, longest=90, vocabulary=1000, mask=demo16.mask_id)
    options = {"max_length": 96, "windows": (8,)}
    expected = bits(Engine(demo16, max_batch=1, **options), asked)
    for batch in (3, 16, 33):
        engine = Engine(demo16, max_batch=batch, **options)
        jobs, others = [], []
        for i, a in enumerate(asked):  # neighbours of every kind come in between
            jobs += submitted(engine, [a])
            others += submitted(
                engine, asks(1, seed=100 + i, longest=90, vocabulary=1000, mask=demo16.mask_id), steps=2
            )
            if i % 5 == 4:
                engine.step()
        others[0].cancel()
        engine.run()
        found = [(job.result().tokens, [x.hex() for x in job.result().logprobs]) for job in jobs]
        assert found == expected, batch


# --- the law in bfloat16 ---

K = 3
START = (1, K, K, 0, K, K)
OPEN = [i for i, token in enumerate(START) if token == K]


def law_of_one_token_passes(network) -> Law:
    """Enumerated: every prefix as committed tokens of one-token passes, whose log p the engine itself reports.

    The draws of many seeds visit every prefix; the log p of a token after a prefix is one number however it came about.
    """
    engine = Engine(network, max_batch=64, max_length=8, windows=(0,))
    law_of_slot: dict[tuple[int, ...], dict[int, float]] = {}
    for first in range(0, 40_000, 8000):
        jobs = [engine.submit(START, OPEN, temperature=1.0, seed=10**9 + first + i) for i in range(8000)]
        engine.run()
        for job in jobs:
            filled = job.result()
            for rank, (token, logp) in enumerate(zip(filled.tokens, filled.logprobs, strict=True)):
                laws = law_of_slot.setdefault(tuple(filled.tokens[:rank]), {})
                assert laws.setdefault(token, logp) == logp, "a conditional that depends on more than its prefix"
    for laws in law_of_slot.values():
        assert sum(np.exp(list(laws.values()))) == pytest.approx(1, abs=1e-5)
    law: Law = {(): 1.0}
    for _ in OPEN:
        law = {
            (*prefix, token): p * float(np.exp(logp))
            for prefix, p in law.items()
            for token, logp in law_of_slot[prefix].items()
        }
    return law


def test_samples_in_bfloat16():
    network = network_of(torch.bfloat16, scale=0.12, seed=1, vocab_size=K + 1, mask_id=K)  # no text is rare
    law = law_of_one_token_passes(network)
    assert max(law.values()) < 0.5
    assert len(law) == K ** len(OPEN)
    engine = Engine(network, max_batch=64, max_length=8, windows=(3,))

    def samples(first: int, **options: Any) -> torch.Tensor:
        jobs = [engine.submit(START, OPEN, seed=first + i, **{"temperature": 1.0} | options) for i in range(20_000)]
        engine.run()
        return torch.tensor([job.result().tokens for job in jobs])

    found = samples(0)
    print(f"\nG-test of 20,000 samples in bfloat16: p = {g_test(found, law):.3f}")
    assert g_test(found, law) > 1e-4
    assert g_test(samples(0, temperature=0.8), law) < 1e-6, "the test has no power"


# --- graphs ---


def test_nothing_waits_inside_a_round(tiny16):
    """Loading, a context pass, rounds, and what the host is told of them."""
    engine = Engine(tiny16, **SMALL)
    asked = asks(12, seed=7)
    answered(engine, asked)  # captures what there is to capture
    jobs = submitted(engine, asked, stream=True, watch=True)
    with no_waits():
        for _ in range(3):
            engine.packed.admit()
            engine.packed.round()
        over = list(engine.packed.running.values())[:2]
        engine.packed.send_results(over)  # what they have so far
    for job in jobs:
        job.cancel()
    engine.packed.progress.collect(0)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_rounds_that_are_watched_add_up_to_the_result(tiny16, method):
    """The host reads them launches later, and still before the result."""
    watched, plain = Engine(tiny16, eos_id=EOS, **SMALL), Engine(tiny16, eos_id=EOS, **SMALL)
    asked = asks(24, seed=9)
    jobs = submitted(watched, asked, **method, watch=True)
    watched.run()
    accepted = 0
    for job, alone in zip(jobs, answered(plain, asked, **method), strict=True):
        canvas: dict[int, int] = {}
        for each in job.watched.take():
            canvas = {place: token for place, token in canvas.items() if place not in each.reopened}
            canvas |= {one.place: one.token for one in each.filled}
            accepted += sum(one.how == "accepted" for one in each.filled)
        assert [canvas[place] for place in job.request.open.tolist()] == job.result().tokens == alone.tokens
    assert accepted == sum(job.result().counters["accepted"] for job in jobs) > 0


def test_the_check_for_waits_notices_one():
    with no_waits(), pytest.raises(RuntimeError):
        torch.zeros(3, device="cuda").sum().item()


def test_graphs_are_captured_when_first_needed(tiny16):
    engine = Engine(tiny16, **SMALL)
    graphs = graphs_of(engine).graphs
    assert graphs == {}
    engine.submit([1, MASK, MASK], [1, 2]).result()
    assert {size for _, size in graphs} == {1}
    count = len(graphs)
    engine.submit([2, MASK, MASK], [1, 2], seed=3).result()
    assert len(graphs) == count
    engine.submit([2, MASK, MASK], [1, 2], temperature=1.0, top_p=0.5).result()
    assert len(graphs) == 2 * count, "sorting for top-p is another graph"


def test_graphs_that_go_and_are_captured_again_change_no_bit(tiny16, monkeypatch):
    asked = asks(12, seed=9)
    expected = bits(Engine(tiny16, **SMALL), asked)
    monkeypatch.setattr("fef.engine.graphs._MOST_GRAPHS", 1)
    engine = Engine(tiny16, **SMALL)
    assert bits(engine, asked) == expected
    assert len(graphs_of(engine).graphs) == 1


def without_memory(monkeypatch, fits) -> None:
    """A pass of a kind and size for which `fits` is false runs out of memory, in the warm-up or in the capture itself."""
    right = GraphRunner.capture

    def capture(self, kind, size):
        if fits(kind, size):
            return right(self, kind, size)
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
        raise AssertionError("there is room for a petabyte")

    monkeypatch.setattr(GraphRunner, "capture", capture)


def test_without_memory_for_a_graph_rows_go_through_smaller_ones(tiny16, monkeypatch):
    asked = asks(20, seed=8)
    expected = bits(Engine(tiny16, **SMALL | {"max_batch": 8}), asked)
    without_memory(monkeypatch, lambda _kind, size: size <= 2)
    engine = Engine(tiny16, **SMALL | {"max_batch": 8})
    assert bits(engine, asked) == expected
    assert engine.notes and all("no memory for a graph of" in note for note in engine.notes)


@pytest.mark.parametrize("while_capturing", [False, True])
def test_real_lack_of_memory(tiny16, monkeypatch, while_capturing):
    """The passes themselves allocate what there is not, also in the middle of a capture."""
    passes = Engine(tiny16, **SMALL).packed.built.runner.passes.__class__
    right = passes.pass_

    def hungry(self, kind, slot_B):
        if len(slot_B) > 2 and torch.cuda.is_current_stream_capturing() == while_capturing:
            torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
        right(self, kind, slot_B)

    asked = asks(20, seed=9)
    expected = bits(Engine(tiny16, **SMALL), asked)
    monkeypatch.setattr(passes, "pass_", hungry)
    engine = Engine(tiny16, **SMALL)
    assert bits(engine, asked) == expected
    assert any("no memory for a graph of 4 rows" in note for note in engine.notes)


def test_not_even_one_row(tiny16, monkeypatch):
    options = SMALL | {"max_length": 192}
    asked = asks(8, seed=10)
    expected = bits(Engine(tiny16, **options), asked)
    without_memory(monkeypatch, lambda kind, _size: kind.context <= 64)
    engine = Engine(tiny16, **options)
    long = engine.submit([1] * 100 + [MASK], [100])
    engine.run()
    with pytest.raises(EngineError, match="not even one row of a context of 128"):
        long.result()
    assert bits(engine, asked) == expected


def test_costs_are_measured_and_saved(tiny, tmp_path):
    options = {"max_batch": 4, "max_length": 16, "windows": (2, 8)}
    engine = Engine(tiny, **options)
    began = time.perf_counter()
    table = engine.measure()
    print(f"\nmeasured in {time.perf_counter() - began:.1f} s: {table.seconds}")
    windows = {(rows, shape.window) for rows, shape in table.seconds}
    assert windows == {(rows, window) for rows in (1, 2, 4) for window in (2, 8)}
    assert all(1e-6 < seconds < 1 for seconds in table.seconds.values())
    table.save(tmp_path / "costs.json")
    assert not bool(engine.packed.built.state.live_S.any())
    again = Engine(tiny, costs=tmp_path / "costs.json", **options)
    assert again.packed.chooser.costs == CostTable.load(tmp_path / "costs.json", again.packed.built.cost_key) == table
    asked = asks(16, seed=11)
    expected = by_decode(tiny, asked)
    for one in (engine, again, Engine(tiny, **options)):  # the last measures when it needs to know
        assert differences(answered(one, asked), expected, 1e-4) == [], "whatever windows the costs chose"


# --- faults ---


def test_nan_ends_its_own_request_and_no_other():
    network = network_of(torch.bfloat16, tied_embeddings=False)
    asked = asks(20, seed=12, vocabulary=6)
    expected = bits(Engine(network, banned=[6], **SMALL), asked)
    with torch.no_grad():
        network.embed.weight[6] = torch.nan
    for batch in (1, 3):
        engine = Engine(network, banned=[6], **SMALL | {"max_batch": batch})
        jobs, bad = [], []
        for a in asked:
            bad.append(engine.submit([6] * 13 + [MASK], [13]))
            jobs += submitted(engine, [a])
        engine.run()
        for job in bad:
            with pytest.raises(DenoiserError, match="nan"):
                job.result()
        assert [(j.result().tokens, [x.hex() for x in j.result().logprobs]) for j in jobs] == expected


def test_cancelling_while_the_device_is_ahead(tiny16):
    asked = asks(60, seed=13)
    expected = bits(Engine(tiny16, **SMALL), asked)
    engine = Engine(tiny16, **SMALL)
    jobs = []
    for i, a in enumerate(asked):
        jobs += submitted(engine, [a])
        engine.step()
        if i % 3 == 0:
            jobs[i].cancel()
            engine.step()
    engine.run()
    kept = [i for i, job in enumerate(jobs) if job.status == "done"]
    assert len(kept) >= 40
    assert [(jobs[i].result().tokens, [x.hex() for x in jobs[i].result().logprobs]) for i in kept] == [
        expected[i] for i in kept
    ]
    assert sorted(engine.packed.free) == list(range(engine.packed.built.slots))


def test_the_memory_budget(tiny16):
    one = Engine(tiny16, **SMALL).packed.built.slot_bytes
    engine = Engine(tiny16, **SMALL | {"memory_gb": 3.5 * one / 1e9})
    assert engine.packed.built.slots == 2
    with pytest.raises(EngineError, match="raise memory_gb"):
        Engine(tiny16, **SMALL | {"memory_gb": one / 1e9})
