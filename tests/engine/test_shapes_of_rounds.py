"""Rounds of different shapes one behind the other: no text depends on them, and no choice on what a round will draw."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from asking import METHODS, answered, asks, by_decode, differences
from drafting_networks import drafting_network
from tiny_network import EOS, tiny_network

from fef.engine.costs import CostTable
from fef.engine.engine import Engine
from fef.engine.runner import PassKind
from fef.engine.shape_chooser import ShapeChooser
from fef.engine.slots import COUNTERS
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer

NETWORK, PLAIN = drafting_network(), tiny_network(scale=0.3)
SIZE: dict[str, Any] = {"max_batch": 3, "max_length": 16, "threads": 1}
MIXED: dict[str, Any] = {"windows": (0, 1, 4), "tree": [3, 9], "depth": 3, "anchors": 2}


def at_random(monkeypatch: pytest.MonkeyPatch, seed: int) -> list[RoundShape]:
    """Shapes are thrown for, in place of chosen; those that were."""
    dice, thrown = random.Random(seed), list[RoundShape]()

    def next_shape(self: ShapeChooser, _: int) -> RoundShape:
        thrown.append(dice.choice(self.built.shapes))
        return thrown[-1]

    monkeypatch.setattr(ShapeChooser, "next_shape", next_shape)
    return thrown


@pytest.mark.parametrize("network", [PLAIN, NETWORK], ids=["marginals", "head"])
@pytest.mark.parametrize("method", METHODS[:1] + METHODS[2:5] + METHODS[7:8], ids=str)
def test_shapes_at_random_change_no_text(
    network: Transformer, method: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    thrown = at_random(monkeypatch, seed=1)
    for eos_id in (None, EOS):
        asked = asks(12, seed=3)
        engine = Engine(network, eos_id=eos_id, **SIZE, **MIXED)
        found = answered(engine, asked, **method)
        assert differences(found, by_decode(PLAIN, asked, eos_id, **method)) == []
    assert {shape.words for shape in thrown} == {shape.words for shape in engine.packed_rounds().built.shapes}


@pytest.mark.parametrize("network", [PLAIN, NETWORK], ids=["marginals", "head"])
def test_a_round_behind_one_of_the_other_kind_has_no_drafts_of_it(
    network: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head's tree and candidates of marginals are two stores; trees of marginals and chains have one."""
    engine = Engine(network, **SIZE, windows=(4,), tree=[4], depth=3)
    packed = engine.packed_rounds()
    chain, tree = packed.built.shapes
    drafted = []  # by the request in the first slot
    for shapes in ([chain] * 4, [chain, chain, tree, tree]):
        turns = iter(shapes * 9)
        monkeypatch.setattr(packed.chooser, "next_shape", lambda _, turns=turns: next(turns))
        job = engine.submit([7] * 12, range(12), seed=1)
        before = 0
        for _ in shapes:
            engine.step()
            count = int(packed.built.state.counters_SC[0, COUNTERS.index("drafted")])
            drafted.append(count - before)
            before = count
        job.cancel()
    assert drafted[1] > 0 and drafted[5] > 0, "chains behind chains"
    assert (drafted[6] > 0) == (not tree.head) and drafted[7] > 0, "the first tree, and the one behind it"


def frozen(monkeypatch: pytest.MonkeyPatch, cost: Callable[[RoundShape], float], **options: Any) -> Engine:
    """An engine whose rounds cost what is said, whatever they take."""
    monkeypatch.setattr(CostTable, "observe", lambda *_: None)
    engine = Engine(NETWORK, **SIZE, **options)
    packed = engine.packed_rounds()
    packed.chooser.costs.seconds = {(rows, shape): cost(shape) for rows in (1, 2, 3) for shape in packed.built.shapes}
    return engine


@pytest.mark.parametrize(
    ("cost", "kind"),
    [
        (lambda shape: 1.0 + 9 * shape.tokens, "one token"),
        (lambda shape: 1.0 if shape.head else 9.0, "with the head"),
        (lambda shape: 9.0 if shape.head else 1.0, "chains of"),
    ],
    ids=["every token costs", "trees are cheap", "chains are cheap"],
)
def test_what_a_network_with_a_head_does_by_default_is_what_pays(
    cost: Callable[[RoundShape], float], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the drafts of this network are worth, these costs decide."""
    engine = frozen(monkeypatch, cost)
    asked = asks(3, seed=5)
    assert differences(answered(engine, asked), by_decode(PLAIN, asked)) == []
    assert engine.tallies and all(kind in tally.shape.words for tally in engine.tallies)


Course = list[tuple[RoundShape, list[list[int]]]]
"""Of each round the shape, and the canvases behind it."""


def courses(monkeypatch: pytest.MonkeyPatch, seed: int) -> tuple[Course, Course]:
    """Three rounds of the same requests, twice; the second time, the last round draws with other noise."""
    found = []
    for other_noise in (False, True):
        engine = frozen(monkeypatch, lambda shape: 20.0 + shape.tokens, windows=(), tree=[1, 2, 4, 8])
        packed, course = engine.packed_rounds(), list[tuple[RoundShape, list[list[int]]]]()
        for number in range(3):
            engine.submit([7] * 14, range(14), temperature=1.0, seed=3 * seed + number)
        for number in range(3):
            if other_noise and number == 2:
                packed.built.state.seed_S += 10**6
            engine.step()
            assert packed.chooser.last is not None
            course.append((packed.chooser.last, packed.built.state.ids_SL[:3].tolist()))
        found.append(course)
    return found[0], found[1]


def peeking(self: ShapeChooser, rows: int) -> RoundShape:
    """A twin: it looks at how many drafts each shape would get accepted, and takes the one of most."""
    runner, state, slots = self.built.runner, self.built.state, list(range(rows))
    bounds = Bounds(state.table.context, state.table.ranks)
    before = {name: value.clone() for name, value in vars(state).items() if name.endswith(("_S", "_SL", "_SR", "_SC"))}
    others = {name: value.clone() for name, value in vars(state).items() if name.endswith(("KC", "SW"))}
    cache = [value.clone() for value in vars(self.built.cache).values()]
    gains = {}
    for shape in self.built.shapes:
        runner.run(PassKind(shape, bounds), slots)
        accepted = (
            state.counters_SC[:, COUNTERS.index("accepted")] - before["counters_SC"][:, COUNTERS.index("accepted")]
        )
        gains[shape] = int(accepted.sum())
        for name, value in {**before, **others}.items():
            getattr(state, name).copy_(value)
        for now, then in zip(vars(self.built.cache).values(), cache, strict=True):
            now.copy_(then)
    return max(self.built.shapes, key=lambda shape: (gains[shape], -shape.window))


def test_the_choice_does_not_depend_on_what_the_round_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of one past and of other noise have the same shape; a twin that looks at the draws is caught."""
    for seed in (2, 3):
        one, other = courses(monkeypatch, seed)
        assert one[:2] == other[:2] and one[2][1] != other[2][1], "only the last round draws with other noise"
        assert one[2][0] == other[2][0]
    monkeypatch.setattr(ShapeChooser, "next_shape", peeking)
    assert any(
        one[:2] == other[:2] and one[2][0] != other[2][0]
        for one, other in (courses(monkeypatch, seed) for seed in range(2, 12))
    )
