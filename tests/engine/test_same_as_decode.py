"""The engine gives the tokens, log p and counts of committed tokens that `fef.decode` gives."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import torch
from asking import METHODS, Answer, Ask, answered, asks, by_decode, differences, only, submitted
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.engine.engine import Engine
from fef.models.checkpoint import demo_path, load_checkpoint

NETWORK = tiny_network(scale=0.3)
EOS_IDS = pytest.mark.parametrize("eos_id", [None, EOS])
SMALL = {"max_batch": 4, "max_length": 16, "windows": (4,), "threads": 1}


@EOS_IDS
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method(method, eos_id):
    """24 requests in 4 slots, with settings and lengths of their own."""
    asked = asks(24, seed=1)
    engine = Engine(NETWORK, eos_id=eos_id, **SMALL)
    found = answered(engine, asked, **method)
    assert differences(found, by_decode(NETWORK, asked, eos_id, **method)) == []
    assert engine.notes == []


SHAPES = [
    {"windows": windows, "anchors": anchors, "max_batch": (1, 3, 16)[i % 3], "threads": 1 + i // 3 % 2}
    for i, (windows, anchors) in enumerate(itertools.product([(0,), (1,), (4,), (16,), (0, 4, 16)], range(4)))
]


@cache
def expected_of_all(eos_id: int | None) -> list[list[Answer]]:
    return [by_decode(NETWORK, asks(3, seed=i), eos_id, **method) for i, method in enumerate(METHODS)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_setting_of_the_engine_changes_a_result(shape):
    """All methods at once in one engine."""
    eos_id = EOS if SHAPES.index(shape) % 2 else None
    engine = Engine(NETWORK, eos_id=eos_id, max_length=14, **shape)
    asked = [asks(3, seed=i) for i in range(len(METHODS))]
    jobs = [submitted(engine, some, **method) for some, method in zip(asked, METHODS, strict=True)]
    engine.run()
    for theirs, expected in zip(jobs, expected_of_all(eos_id), strict=True):
        assert differences([job.result() for job in theirs], expected) == []


def test_another_seed_or_temperature_is_told_apart():
    """The comparison above has teeth."""
    asked = asks(24, seed=1)
    found = answered(Engine(NETWORK, **SMALL), asked)
    warm = [i for i, a in enumerate(asked) if a.settings["temperature"]]
    for name, value in (("seed", 1), ("temperature", 0.2)):
        other = [Ask(a.ids, a.open, a.settings | {name: a.settings[name] + value}) for a in asked]
        told_apart = differences(found, by_decode(NETWORK, other))
        assert len(told_apart) > len(warm) / 3
    assert differences(found, by_decode(NETWORK, asked, order="random")) != []
    assert differences(found, by_decode(NETWORK, asked, EOS)) != []


@EOS_IDS
def test_a_slot_used_by_many_requests(eos_id):
    asked = asks(40, seed=3)
    engine = Engine(NETWORK, eos_id=eos_id, **SMALL | {"max_batch": 1})
    assert differences(answered(engine, asked), by_decode(NETWORK, asked, eos_id)) == []
    assert engine.packed.built.table.slots == 2  # a spare one is never used
    assert int(engine.packed.built.state.open_S[1]) == 0


def test_requests_that_come_while_others_run():
    asked = asks(30, seed=4)
    engine = Engine(NETWORK, **SMALL)
    jobs = []
    for a in asked:
        jobs += submitted(engine, [a])
        engine.step()
    assert differences([job.result() for job in jobs], by_decode(NETWORK, asked)) == []


def test_banned_ids():
    asked = asks(24, seed=5)
    engine = Engine(NETWORK, banned=[0, 5], **SMALL)
    found = answered(engine, asked)
    assert differences(found, by_decode(NETWORK, asked, banned=[0, 5])) == []
    assert not {0, 5, MASK} & {token for answer in found for token in answer.tokens}


def test_open_places_may_hold_anything():
    """As in `fef.decode`, what a canvas holds where it is open does not matter."""
    engine = Engine(NETWORK, **SMALL)
    masked = engine.submit([3, MASK, MASK, 1], [1, 2], temperature=1.0, seed=3)
    other = engine.submit([3, 4, 5, 1], [2, 1], temperature=1.0, seed=3)
    assert masked.result().tokens == other.result().tokens
    out = fef.decode(NETWORK, torch.tensor([[3, MASK, MASK, 1]]), temperature=1.0, seed=3)
    assert masked.result().tokens == out.ids[0, 1:3].tolist()


NETWORKS = {
    "grouped heads": {"heads": 4, "kv_heads": 2},
    "head size, norms and biases": {"head_dim": 12, "qk_norm": True, "qkv_bias": True, "out_bias": True},
    "an own head, half of it rotated": {"tied_embeddings": False, "rotary_dim": 4},
}


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_other_networks(config):
    network = tiny_network(scale=0.3, **config)
    asked = asks(24, seed=6)
    expected = by_decode(network, asked, EOS)
    assert differences(answered(Engine(network, eos_id=EOS, **SMALL), asked), expected) == []


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_texts_that_end_early(method):
    """What a window draws behind an end token has the confidence of what is certain, as where it is filled without a draw."""
    network = tiny_network(scale=0.2, dim=64, heads=4, mlp_dim=128)
    asked = asks(24, seed=1)
    ends = 0
    for eos_id in (2, 3):
        expected = by_decode(network, asked, eos_id, **method)
        assert differences(answered(Engine(network, eos_id=eos_id, **SMALL), asked, **method), expected) == []
        ends += sum(eos_id in answer.tokens[:-1] for answer in expected)
    assert ends > 0


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_counters(method):
    """A round commits a token or more, and drafts what it may accept."""
    for window in (0, 4):
        engine = Engine(NETWORK, **SMALL | {"windows": (window,)})
        asked = asks(12, seed=7)
        passes = method.get("steps", 1)
        for a, answer in zip(asked, answered(engine, asked, **method), strict=True):
            c = answer.counters
            blocks = -(-len(a.open) // method.get("block_length", len(a.open)))
            assert c["calls"] == c["rows"] <= c["committed"] + passes * blocks
            assert c["accepted"] <= c["drafted"] <= window * c["rounds"]
            assert c["rounds"] <= c["calls"] <= c["token_forwards"]
            assert c["accepted"] <= c["committed"]
            if window == 0:
                assert c["rounds"] == 0


@pytest.mark.parametrize("eos_id", [None, 2], ids=str)
@pytest.mark.parametrize("window", [1, 4, 16])
@pytest.mark.parametrize("method", [m for m in METHODS if m["method"] == "fef"], ids=str)
def test_the_same_passes(method, window, eos_id):
    """One policy: the engine and the loop take the same passes, draft and accept the same tokens."""
    for anchors in (0, 2):
        asked = asks(6, seed=window)
        engine = Engine(NETWORK, eos_id=eos_id, **SMALL | {"windows": (window,), "anchors": anchors})
        found = answered(engine, asked, **method)
        expected = by_decode(NETWORK, asked, eos_id, **method, window=window, anchors=anchors)
        for name in ("calls", "rounds", "drafted", "accepted", "committed"):
            assert [a.counters[name] for a in found] == [a.counters[name] for a in expected], name


TREES = [
    {"tree": 1, "depth": 1, "anchors": 0},
    {"tree": 8, "depth": 4, "anchors": 3},
    {"tree": 16, "depth": 3, "anchors": 20},
    {"tree": 64, "depth": 6, "anchors": 2},
]
FEF_METHODS = [m for m in METHODS if m["method"] == "fef"]


@pytest.mark.parametrize("number", range(len(FEF_METHODS)))
def test_trees_change_no_text_and_take_the_same_passes_in_loop_and_engine(number):
    """Rows of settings of their own."""
    method = FEF_METHODS[number]
    for eos_id, tree in zip([None, EOS], [TREES[number % 4], TREES[(number + 1) % 4]], strict=True):
        asked = asks(8, seed=number)
        engine = Engine(NETWORK, eos_id=eos_id, **only(tree), max_batch=3, max_length=16, threads=1)
        found, loop = answered(engine, asked, **method), by_decode(NETWORK, asked, eos_id, **method, **tree)
        assert differences(found, loop) == []
        # what an end token makes of drafts is seen a round later in the loop
        exact = ("drafted", "token_forwards") if eos_id is None else ()
        for name in ("calls", "rounds", "accepted", "committed", *exact):
            assert [a.counters[name] for a in found] == [a.counters[name] for a in loop], name
        other = {"method": "sequential"} if method.get("steps", 1) == 1 else {}
        kept = {name: value for name, value in (method | other).items() if not other or name not in ("steps", "remask")}
        assert differences(loop, by_decode(NETWORK, asked, eos_id, **kept)) == []


def test_a_tree_saves_passes_of_a_chain():
    asked = asks(24, seed=8)
    calls = [
        sum(
            a.counters["calls"]
            for a in answered(Engine(NETWORK, **SMALL | {"windows": (6,), "anchors": 6} | tree), asked)
        )
        for tree in ({}, only({"tree": 32, "depth": 6, "anchors": 32}))
    ]
    assert calls[1] < 0.95 * calls[0]


def test_a_wide_window_saves_passes():
    asked = asks(24, seed=8)
    for a in asked:
        a.settings["temperature"] = 0.0
    calls = [
        sum(answer.counters["calls"] for answer in answered(Engine(NETWORK, **SMALL | {"windows": (w,)}), asked))
        for w in (0, 8)
    ]
    assert calls[1] < 0.9 * calls[0]


canvases = st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=12).filter(
    lambda places: any(open_ for _, open_ in places)
)
choices = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.3, 1.0, 3.0]),
        "top_p": st.sampled_from([1.0, 0.95, 0.3, 1e-9]),
        "top_k": st.integers(0, 9),
        "seed": st.integers(0, 2**63 - 1),
    }
)
ENGINES = {
    eos_id: Engine(NETWORK, eos_id=eos_id, max_batch=3, max_length=12, windows=(0, 2, 5), threads=1)
    for eos_id in (None, EOS)
}


@settings(max_examples=50)
@given(
    requests=st.lists(st.tuples(canvases, choices), min_size=1, max_size=5),
    method=st.sampled_from(METHODS),
    eos_id=st.sampled_from([None, EOS]),
)
def test_any_canvas(requests, method, eos_id):
    """One engine serves all examples, one after the other."""
    asked = [
        Ask([MASK if o else i for i, o in places], [p for p, (_, o) in enumerate(places) if o], options)
        for places, options in requests
    ]
    assert differences(answered(ENGINES[eos_id], asked, **method), by_decode(NETWORK, asked, eos_id, **method)) == []


QUESTIONS = [
    "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?",
    "Sara had 9 pens and gave 4 away. How many are left?",
    "def double(x):",
    "Ann has 3 cats.",
]


@pytest.mark.parametrize("method", [{"method": "fef"}, {"method": "fef", "order": "random", "steps": 2}], ids=str)
def test_the_demo_checkpoint_in_float32(method):
    model = fef.load("demo", device="cpu")
    engine = model.engine(max_batch=3, max_new_tokens=24, threads=1)
    jobs, expected = [], []
    for i, prompt in enumerate(QUESTIONS):
        options = {"max_new_tokens": 16 + 2 * i, "temperature": (0.0, 0.7, 1.0)[i % 3], "top_p": (1.0, 0.9)[i % 2]}
        options |= method | {"seed": 10 + i, "suffix": " apples." if i % 2 else ""}
        jobs.append(engine.submit(prompt, **options))
        expected.append(model.generate(prompt, **options | {"verify": "packed"}))
    for job, own in zip(jobs, expected, strict=True):
        found = job.result()
        assert (found.text, found.token_ids, found.finish_reason) == (own.text, own.token_ids, own.finish_reason)
        assert found.logprobs == pytest.approx(own.logprobs, abs=1e-4)
        assert found.certificate == own.certificate
        assert found.stats["committed"] == own.stats["committed"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method_on_the_demo_checkpoint(method):
    """pytest -m slow tests/engine/test_same_as_decode.py; about a minute."""
    network, _ = load_checkpoint(demo_path())
    asked = asks(12, seed=9, longest=60, vocabulary=1000, mask=network.mask_id)
    engine = Engine(network, max_batch=5, max_length=64, threads=1)
    expected = by_decode(network, asked, network.config.eos_id, **method)
    assert differences(answered(engine, asked, **method), expected, 1e-4) == []
