"""Draft heads draft in the loop and in the engine, and change no text, log p or certificate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asking import METHODS, Ask, answered, asks, by_decode, differences, only, submitted
from drafting_networks import drafting_network
from tiny_network import EOS, tiny_network

import fef
from fef.bench.engine.serving import draw_problems
from fef.engine.engine import Engine
from fef.errors import OptionError
from fef.tasks import FAMILIES

NETWORK, PLAIN = drafting_network(), tiny_network(scale=0.3)
FEF_METHODS = [m for m in METHODS if m["method"] == "fef"]
SHAPES: list[dict[str, Any]] = [
    {"tree": 1},
    {"tree": 7, "depth": 3, "anchors": 2},
    {"tree": 16, "anchors": 3},
    {"tree": 64, "depth": 2, "anchors": 64},
]


@pytest.mark.parametrize("number", range(len(FEF_METHODS)))
def test_trees_of_a_head_change_no_text_and_take_the_same_passes_in_loop_and_engine(number: int) -> None:
    method = FEF_METHODS[number]
    for eos_id, tree in zip([None, EOS], [SHAPES[number % 4], SHAPES[(number + 1) % 4]], strict=True):
        asked = asks(8, seed=number)
        engine = Engine(NETWORK, eos_id=eos_id, **only(tree), max_batch=3, max_length=16, threads=1)
        found, loop = answered(engine, asked, **method), by_decode(NETWORK, asked, eos_id, **method, **tree)
        expected = by_decode(PLAIN, asked, eos_id, **method)
        assert differences(found, expected) == [] and differences(loop, expected) == []
        for name in ("calls", "rounds", "accepted") if eos_id is None else ():
            assert [a.counters[name] for a in found] == [a.counters[name] for a in loop], name


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_trees_deeper_than_a_head_change_no_text(method: dict[str, Any]) -> None:
    asked, short, tree = asks(12, seed=1), drafting_network(depths=3), {"tree": 10, "depth": 6, "anchors": 2}
    expected = by_decode(PLAIN, asked, EOS, **method)
    engine = Engine(short, eos_id=EOS, max_batch=4, max_length=16, threads=1, **only(tree))
    assert differences(answered(engine, asked, **method), expected) == []
    if method["method"] == "fef":
        assert differences(by_decode(short, asked, EOS, **method, **tree), expected) == []


def test_rows_of_every_method_side_by_side() -> None:
    engine = Engine(NETWORK, eos_id=EOS, tree=[12], windows=(), anchors=2, max_batch=5, max_length=16, threads=2)
    asked = [asks(4, seed=i) for i in range(len(METHODS))]
    jobs = [submitted(engine, some, **method) for some, method in zip(asked, METHODS, strict=True)]
    engine.run()
    for some, method, theirs in zip(asked, METHODS, jobs, strict=True):
        expected = by_decode(PLAIN, some, EOS, **method)
        assert [job.result().tokens for job in theirs] == [answer.tokens for answer in expected]


def test_a_head_that_is_switched_off_drafts_nothing() -> None:
    """Passes and drafts are those of the network without it, as they are in chains, which it does not draft."""
    asked = asks(16, seed=5)
    for options in ({}, {"tree": 8}):
        plain, off, on = (
            [(a.counters["drafted"], a.counters["accepted"]) for a in by_decode(network, asked, **options, **more)]
            for network, more in ((PLAIN, {}), (NETWORK, {"head": "none"}), (NETWORK, {}))
        )
        assert off == plain and (on == plain) == ("tree" not in options)


def test_a_head_beside_options_that_it_does_not_serve() -> None:
    """Drafts of another origin, another acceptance, and the rows law go without."""
    asked = asks(6, seed=6)
    for options in (
        {"tree": 0},
        {"accept": "rejection"},
        {"accept": "block"},
        {"draft": "fresh"},
        {"bonus": False},
        {"verify": "rows"},
    ):
        one, other = (by_decode(network, asked, EOS, **options) for network in (PLAIN, NETWORK))
        assert [a.tokens for a in one] == [a.tokens for a in other], options
        assert [a.counters for a in one] == [a.counters for a in other], options


@pytest.mark.parametrize("eos_id", [None, EOS])
def test_biases_grow_no_wrong_tree(eos_id: int | None) -> None:
    ids = torch.cat([torch.randint(0, 7, (6, 3), generator=torch.Generator().manual_seed(0)), torch.full((6, 8), 7)], 1)
    settings: dict[str, Any] = {"temperature": 0.9, "seed": list(range(6)), "logit_bias": {4: 3.0, 1: -100.0}}
    plain, grown = (
        fef.decode(network, ids, eos_id=eos_id, tree=tree, **settings) for network, tree in ((PLAIN, 0), (NETWORK, 12))
    )
    assert torch.equal(plain.ids, grown.ids)


def test_the_certificate_says_the_same() -> None:
    ids = torch.full((1, 6), 7)
    plain, head, tree = (
        fef.decode(network, ids, **options).certificate
        for network, options in ((PLAIN, {}), (NETWORK, {}), (NETWORK, {"tree": 8}))
    )
    assert (plain.kind, plain.law) == (head.kind, head.law) == (tree.kind, tree.law)


def test_options_that_name_no_head() -> None:
    with pytest.raises(OptionError, match="planner"):
        fef.decode(NETWORK, torch.full((1, 6), 7), head="some.safetensors")
    with pytest.raises(OptionError, match="dependency head"):
        fef.decode(NETWORK, torch.full((1, 6), 7), head="auto")


@pytest.fixture(scope="module")
def demo() -> fef.Model:
    return fef.load("demo", device="cpu")


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_head_of_the_demo_saves_passes_and_changes_no_text(demo: fef.Model, temperature: float) -> None:
    problems = draw_problems(list(FAMILIES), 1, seed=11)
    prompts = [problem.prompt for problem in problems]
    asked: dict[str, Any] = {"temperature": temperature, "max_new_tokens": 40, "seed": list(range(len(prompts)))}
    chain = demo.generate(prompts, method="sequential", verify="packed", **asked)
    shape = {"tree": 16, "depth": 10, "anchors": 7}
    with_head, without = (demo.generate(prompts, **shape, **more, **asked) for more in ({}, {"head": "none"}))
    assert [out.token_ids for out in with_head] == [out.token_ids for out in chain]
    assert [out.token_ids for out in without] == [out.token_ids for out in chain]
    assert sum(out.stats["calls"] for out in with_head) < sum(out.stats["calls"] for out in without)


def test_a_watched_tree_shows_its_likeliest_branch() -> None:
    """As many drafts as were verified along it, and the accepted ones among them or off it."""
    engine = Engine(NETWORK, tree=[8], windows=(), max_batch=2, max_length=16, threads=1)
    job = engine.submit([7] * 10, range(10), seed=3, watch=True, verify="packed", temperature=1.0)
    engine.run()
    asked = Ask([7] * 10, list(range(10)), {"seed": 3, "temperature": 1.0})
    assert job.result().tokens == by_decode(PLAIN, [asked])[0].tokens
    assert job.watched is not None
    rounds = job.watched.take()
    assert sum(len(each.filled) for each in rounds) == 10
    assert any(each.drafts for each in rounds)
    for each in rounds:
        places = [place for place, _ in each.drafts]
        assert places == sorted(set(places))
