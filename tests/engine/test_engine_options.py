"""Options of the engine, and how many slots fit."""

from __future__ import annotations

import math
from threading import Barrier

import pytest
import torch
from asking import answered, asks, by_decode, differences
from drafting_networks import drafting_network
from tiny_network import EOS, MASK, tiny_network

from fef.engine.build import TREES, WINDOWS, EngineOptions, EngineParts, build
from fef.engine.engine import Engine
from fef.errors import EngineError, OptionError
from fef.laws.window import TREE_ANCHORS, TREE_DEPTH
from fef.models.packed_pass import RoundShape
from fef.models.slot_cache import bytes_per_place

NETWORK = tiny_network(scale=0.3)
PLACE = bytes_per_place(NETWORK.config, NETWORK.embed.weight.dtype)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_batchs": 4}, "no option 'max_batchs'. Did you mean 'max_batch'"),
        ({"window": 4}, "no option 'window'"),
        ({"max_batch": 0}, "max_batch=0"),
        ({"max_batch": 2.0}, "max_batch=2.0"),
        ({"max_batch": True}, "max_batch=True"),
        ({"max_length": 0}, "max_length=0"),
        ({"max_new_tokens": -1}, "max_new_tokens=-1"),
        ({"windows": ()}, r"windows=\(\)"),
        ({"windows": 4}, "windows=4"),
        ({"windows": (4, -1)}, "windows=-1"),
        ({"windows": (4.0,)}, "windows=4.0"),
        ({"anchors": -1}, "anchors=-1"),
        ({"tree": 65}, "tree=65"),
        ({"tree": True}, "tree=True"),
        ({"tree": [8, 65]}, "tree=65"),
        ({"tree": [0]}, "tree=0"),
        ({"tree": [], "windows": []}, r"windows=\[\]"),
        ({"tree": 0, "windows": []}, r"windows=\[\]"),
        ({"depth": 0}, "depth=0"),
        ({"memory_gb": 0}, "memory_gb=0"),
        ({"memory_gb": math.nan}, "memory_gb=nan"),
        ({"memory_gb": math.inf}, "memory_gb=inf"),
        ({"memory_gb": "4"}, "memory_gb='?4"),
        ({"context_tokens": 0}, "context_tokens=0"),
        ({"threads": 0}, "threads=0"),
        ({"eos_id": 8}, "eos_id 8 is outside the vocabulary"),
        ({"eos_id": -1}, "eos_id must be a token id"),
        ({"eos_id": MASK}, "eos_id 7 is banned or is the mask id"),
        ({"eos_id": 2, "banned": [2]}, "eos_id 2 is banned"),
        ({"banned": [8]}, "banned 8 is outside the vocabulary"),
        ({"banned": [-1]}, "banned must be a token id"),
    ],
    ids=str,
)
def test_wrong_options(options, words):
    with pytest.raises(OptionError, match=words):
        Engine(NETWORK, **options)


def parts(note=print, budget=1e9, **options) -> EngineParts:
    return build(NETWORK, EngineOptions(**options), budget, note)


def test_sizes_come_from_the_network_where_nothing_is_said():
    notes: list[str] = []
    built = parts(notes.append, max_batch=2)
    assert (built.table.context, built.table.ranks, built.table.slots, built.slots) == (4096, 4096, 3, 2)
    assert notes == []
    shorter = parts(max_length=10**9, max_new_tokens=10**9).table
    assert (shorter.context, shorter.ranks) == (4096, 4096)
    small = parts(max_length=20, max_new_tokens=5, windows=(8, 3, 8), anchors=1)
    assert (small.table.context, small.table.ranks, small.table.drafts) == (20, 5, 9)
    assert [shape.window for shape in small.shapes] == [3, 8]
    assert small.table.scratch_places == max(shape.scratch for shape in small.shapes)


def test_trees_alone():
    built = parts(max_length=20, tree=[9], windows=(), depth=3, anchors=1)
    assert built.shapes == [RoundShape(9, 1, 4, 8)]
    assert (built.table.drafts, built.table.branching, built.table.scratch_places) == (4, 8, built.shapes[0].scratch)


def test_chains_and_smaller_trees_are_alternatives_to_a_tree():
    chains = parts(max_length=20).shapes
    assert chains == parts(max_length=20, tree=0).shapes
    assert [shape.window for shape in chains] == list(WINDOWS)
    assert [shape.anchors for shape in chains] == [0, 0, 0, 0, 1, 0, 0], "a second group in between"
    assert {shape.anchors for shape in parts(max_length=20, anchors=3, tree=0).shapes} == {0, 1, 2, 3}
    assert 0 in WINDOWS, "one token per pass"
    trees = [RoundShape(nodes, TREE_ANCHORS, TREE_DEPTH + 1, 8) for nodes in (8, 16, 24)]
    assert parts(max_length=20, tree=24).shapes == [*chains, *trees]
    few = parts(max_length=20, tree=[5, 3], windows=(2,))
    assert [(shape.window, shape.branching) for shape in few.shapes] == [(2, 1), (3, 8), (5, 8)]


def test_a_network_with_a_head_chooses_among_chains_and_trees_that_it_grows():
    def shapes(network=None, **options):
        return build(network or drafting_network(), EngineOptions(max_length=20, **options), 1e9, print).shapes

    chains = parts(max_length=20).shapes
    trees = [RoundShape(nodes, TREE_ANCHORS, TREE_DEPTH + 1, 8, head=True) for nodes in TREES]
    assert shapes() == [*chains, *trees] and shapes(tree=0) == chains
    assert shapes(windows=(3,)) == [RoundShape(3)]
    assert shapes(windows=(), tree=[16]) == trees[1:2]
    half = drafting_network().bfloat16()
    assert shapes(half) == chains and shapes(half, windows=(), tree=[16]) == trees[1:2]


def test_texts_end_where_they_are_told_to_as_in_decode():
    """Also on a network that has an end token: on token ids nobody assumes one."""
    network = tiny_network(scale=0.3, eos_id=EOS)
    asked = asks(20, seed=1)
    for eos_id in (None, EOS):
        engine = Engine(network, max_length=16, eos_id=eos_id)
        assert differences(answered(engine, asked), by_decode(network, asked, eos_id)) == []
    assert differences(answered(Engine(network, max_length=16), asked), by_decode(network, asked, EOS)) != []


def needed(**options) -> int:
    """Bytes of the caches that packed rounds hold."""
    cache = parts(**options).cache
    return sum(x.numel() * x.element_size() for x in (cache.keys_YSGCE, cache.values_YSGCE))


@pytest.mark.parametrize("canvas", [64, 40])
def test_memory_within_the_budget(canvas):
    """Packed rounds leave the keys of one canvas to sessions."""
    size = {"max_length": canvas, "max_new_tokens": canvas}
    one, left = parts(**size).slot_bytes, canvas * PLACE
    assert needed(max_batch=5, **size) == 6 * one == parts(max_batch=5, **size).cache_bytes  # one is spare
    for slots in (2, 3, 7):
        for budget, fit in ((slots * one + left, slots - 1), ((slots + 1) * one + left - 1, slots - 1)):
            notes: list[str] = []
            assert parts(notes.append, budget, max_batch=50, **size).slots == fit
            assert notes == [f"{fit} requests at once instead of 50: the memory budget is {budget / 1e9:.2f} GB"]
            assert needed(max_batch=50, budget=budget, **size) <= budget - left


def test_packed_rounds_and_sessions_share_one_budget():
    """What is left for sessions is what packed rounds do not hold: the two never hold more than was given."""
    one = parts(max_length=64).slot_bytes
    for slots, most in ((2.0, 16), (3.4, 16), (9.7, 16), (9.7, 3)):
        engine = Engine(NETWORK, max_length=64, max_batch=most, memory_gb=slots * one / 1e9)
        cache = engine.packed.built.cache
        held = sum(x.numel() * x.element_size() for x in (cache.keys_YSGCE, cache.values_YSGCE))
        assert engine.sessions.budget == pytest.approx(slots * one - held)
        assert engine.sessions.budget >= 64 * PLACE or engine.packed.built.slots == 1
    plain = tiny_network(scale=0.3, packed=False)
    assert Engine(plain, memory_gb=0.5).sessions.budget == 0.5e9, "of a network that does not run packed rounds"


def test_a_session_that_packed_rounds_leave_no_room_for_is_refused_by_name():
    one = parts(max_length=64).slot_bytes
    options = {"method": "threshold", "cache": "dual", "seed": 3}
    ids, places = [1] * 40 + [MASK] * 20, range(40, 60)
    cramped = Engine(NETWORK, max_length=64, memory_gb=2.01 * one / 1e9)
    with pytest.raises(EngineError, match=r"beside what packed rounds .* hold.*memory_gb"):
        cramped.submit(ids, places, **options)
    assert cramped.submit(ids, places, method="threshold").result().tokens, "it keeps no keys"
    wide = Engine(NETWORK, max_length=64, memory_gb=(2 * one + 64.5 * PLACE) / 1e9)
    jobs = [wide.submit(ids, places, **options) for _ in range(2)]
    wide.step()
    assert [job.status for job in jobs] == ["running", "waiting"]
    assert jobs[0].result().tokens == jobs[1].result().tokens


def test_a_budget_for_less_than_a_request_is_refused():
    one = parts(max_length=64).slot_bytes
    with pytest.raises(EngineError, match=r"Lower max_length, max_new_tokens or windows, or raise memory_gb"):
        Engine(NETWORK, max_length=64, memory_gb=1.9 * one / 1e9)


def test_an_engine_of_a_small_budget_answers_all_the_same():
    one = parts(max_length=16).slot_bytes
    engine = Engine(NETWORK, max_length=16, memory_gb=3.5 * one / 1e9)
    assert engine.packed.built.slots == 2
    assert len(engine.notes) == 1
    asked = asks(12, seed=2)
    assert differences(answered(engine, asked), by_decode(NETWORK, asked)) == []


@pytest.mark.parametrize("config", [{}, {"attention": "block-causal", "block_length": 4}], ids=str)
def test_options_of_packed_rounds_are_told_apart_where_there_are_none(config):
    network = tiny_network(scale=0.3, packed=False, **config)
    [note] = Engine(network, windows=(4,), tree=2, threads=1, max_batch=3).notes
    assert note.startswith("windows, tree, threads: not used, since Transformer has no packed rounds")
    assert Engine(network, max_batch=3, max_length=9, max_new_tokens=4, memory_gb=1).notes == []
    assert Engine(NETWORK, windows=(4,), threads=1, max_length=9).notes == []


@pytest.mark.parametrize("method", ["fef", "low-confidence", "sequential"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_most_places_to_fill_hold_for_every_method(packed, method):
    engine = Engine(tiny_network(scale=0.3, packed=packed), max_new_tokens=3, max_length=9, threads=1)
    with pytest.raises(EngineError, match=r"a larger .*max_new_tokens"):
        engine.submit([1] + [MASK] * 4, range(1, 5), method=method)
    assert len(engine.submit([1] + [MASK] * 3, range(1, 4), method=method).result().tokens) == 3


def test_a_note_is_kept_once():
    engine = Engine(NETWORK, max_length=16)
    for text in ("one", "two", "one"):
        engine.notes.add(text)
    assert engine.notes == ["one", "two"]


def test_context_passes_hold_as_many_canvases_as_asked():
    engine = Engine(NETWORK, max_length=16, max_batch=6, context_tokens=40, threads=1)
    seen = []
    run = engine.packed.built.runner.run
    engine.packed.built.runner.run = lambda kind, slots: (seen.append((kind.context > 0, len(slots))), run(kind, slots))
    jobs = [engine.submit([1] * 7 + [MASK] * 9, range(7, 16)) for _ in range(6)]
    engine.step()
    assert seen[:4] == [(True, 2), (True, 2), (True, 2), (False, 6)]
    assert {one.job for one in engine.packed.running.values()} == set(jobs)
    assert engine.packed.context_kind(9).context == 9  # no padding on a CPU


@pytest.mark.parametrize("threads", [3, 10**6])
def test_there_are_no_more_threads_than_rows(threads):
    engine = Engine(NETWORK, threads=threads, max_batch=2, max_length=9, windows=(2,))
    assert engine.packed.built.runner.threads == 2
    jobs = [engine.submit([1, MASK, MASK], [1, 2], seed=seed) for seed in range(3)]
    assert [len(job.result().tokens) for job in jobs] == [2, 2, 2]


def test_the_threads_that_share_out_rows_use_no_others():
    """Whatever the process is set to afterwards, which stays as it was."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        engine = Engine(NETWORK, max_length=16, threads=2)
        together = Barrier(2)  # so that each of the two answers once

        def uses(_: int) -> int:
            together.wait(10)
            return torch.get_num_threads()

        assert list(engine.packed.built.runner.workers.map(uses, range(2))) == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_of_several_options_of_an_engine_a_request_is_refused_the_first_that_it_gives():
    for first, second in (("threads", "max_batch"), ("max_batch", "threads"), ("costs", "memory_gb")):
        with pytest.raises(OptionError, match=f"no option '{first}', which is one for all of an engine"):
            EngineOptions.refuse_in_request({"window": 4, first: 1, second: 1})
    EngineOptions.refuse_in_request(["tree", "depth", "anchors", "window"])
