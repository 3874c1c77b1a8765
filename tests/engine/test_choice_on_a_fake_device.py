"""The choice of shapes as on a GPU: a device with a clock of its own, a round ahead of the host, whose rounds can be
replayed for their cost without what the host does between two of them."""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fef.engine.build import EngineOptions, EngineParts, shapes_of
from fef.engine.choice import choose_shape
from fef.engine.costs import CostTable
from fef.engine.graphs import GraphRunner, buckets
from fef.engine.host_copies import PendingCopy
from fef.engine.runner import PassKind
from fef.engine.shape_chooser import ShapeChooser
from fef.models.packed_pass import RoundShape

SHAPES = shapes_of(EngineOptions(), [], 1000, None, roomy=True)
WITH_TREES = shapes_of(EngineOptions(), [8, 16, 32], 1000, 6, roomy=True)
_LAG = 1


@dataclass
class FakeDevice:
    """launch: seconds of a round of few tokens. token: of each token more. host: least seconds from round to round. chance:
    that a draft holds. groups: the part of the others that is left to chains with twice as many draft groups. caught: the
    part where a tree of 16 has one that does. head: seconds of its growth."""

    rows: int
    launch: float
    token: float
    host: float
    chance: float
    groups: float = 1.0
    caught: float = 0.0
    head: float = 0.0
    shapes: list[RoundShape] = field(default_factory=lambda: SHAPES)
    now: float = 0.0
    number: int = 0
    replayed: int = 0
    dice: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    pauses: random.Random = field(default_factory=lambda: random.Random(0))
    ahead: deque[tuple[PendingCopy, np.ndarray]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        runner = GraphRunner(None, self.rows, buckets(self.rows), lambda _: None)  # type: ignore[arg-type]
        parts: Any = SimpleNamespace(shapes=self.shapes, runner=runner, table=SimpleNamespace(context=64, ranks=32))
        self.chooser = ShapeChooser(parts, CostTable())

    def replay(self, _: EngineParts, kind: PassKind, rows: int) -> float:
        """In the middle of a request's rounds, which wait for it."""
        self.now += 9.0
        self.replayed += 1
        return self.cost(kind.shape, rows)

    def cost(self, shape: RoundShape, rows: int) -> float:
        return self.launch + self.token * rows * shape.tokens + (self.head if shape.head else 0.0)

    def holds(self, shape: RoundShape) -> float:
        """The chance that there is a draft that holds."""
        if shape.branching == 1:
            return 1 - (1 - self.chance) * self.groups ** math.log2(shape.groups)
        return 1 - (1 - self.chance) * (1 - self.caught) * (16 / shape.window) ** 0.15

    def seconds(self, shape: RoundShape) -> float:
        return max(self.cost(shape, self.rows), self.host)

    def run(self, rounds: int) -> Counter[RoundShape]:
        """Shapes of so many rounds. One in fifty waits for a pause of the host."""
        found = Counter[RoundShape]()
        for _ in range(rounds):
            self.number += 1
            settled = self.chooser.last
            shape = self.chooser.next_shape(self.rows)
            launch = self.chooser.launch(self.number, shape, self.rows)
            self.chooser.launched(shape)
            self.now += self.seconds(shape) + (0.5 if self.pauses.random() < 0.02 else 0.0)
            drafts = shape.deepest if settled in (None, shape) else 0
            accepted = np.minimum(self.dice.geometric(1 - self.holds(shape), self.rows) - 1, drafts)
            self.ahead.append((PendingCopy(launch, torch.zeros(0), self.now), accepted))
            found[shape] += 1
            while len(self.ahead) > _LAG:
                copy, held = self.ahead.popleft()
                self.chooser.learn_cost(copy)
                self.chooser.learn_tokens(copy.note, held)
        return found

    def rate(self, shape: RoundShape) -> float:
        """Tokens per second of a request whose rounds all have this shape."""
        return sum(self.holds(shape) ** depth for depth in range(shape.deepest + 1)) / self.seconds(shape)

    def loss(self, shapes: Counter[RoundShape]) -> float:
        """How much slower the rounds of these shapes are than those of the best one."""
        best, count = max(map(self.rate, self.shapes)), sum(shapes.values())
        return 1 - sum(self.rate(shape) * rounds for shape, rounds in shapes.items()) / (best * count)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeDevice]:
    def made(**options: Any) -> FakeDevice:
        device = FakeDevice(**options)
        monkeypatch.setattr("fef.engine.shape_chooser.round_seconds", device.replay)
        return device

    return made


@pytest.mark.parametrize("chance", [0.2, 0.65, 0.92])
@pytest.mark.parametrize(
    ("launch", "host"), [(1.0, 0.3), (0.2, 0.45)], ids=["the device is the slower", "the host is the slower"]
)
@pytest.mark.parametrize("rows", [1, 64])
def test_rounds_come_to_be_of_about_the_fastest_shape(
    device: Callable[..., FakeDevice], rows: int, launch: float, host: float, chance: float
) -> None:
    """Though replays say nothing of the host, and the first rounds behind another shape have no drafts."""
    fake = device(rows=rows, launch=launch, token=0.0008, host=host, chance=chance)
    fake.run(200)
    shapes = fake.run(800)
    assert fake.loss(shapes) < 0.08, {shape.words: count for shape, count in shapes.items()}
    used = len(fake.chooser.costs.seconds)
    assert fake.replayed == used, "each is replayed once, however long the engine runs"


@pytest.mark.parametrize(("rows", "token"), [(1, 0.0008), (64, 0.0004)])
@pytest.mark.parametrize(
    ("head", "caught", "chance", "trees"),
    [(0.05, 0.7, 0.7, True), (0.05, 0.7, 0.3, True), (0.9, 0.4, 0.7, False), (0.3, 0.1, 0.7, False)],
    ids=["a cheap head", "hard texts", "a dear head", "a head that knows little"],
)
def test_trees_are_taken_where_they_pay_and_chains_elsewhere(
    device: Callable[..., FakeDevice], rows: int, token: float, head: float, caught: float, chance: float, trees: bool
) -> None:
    costs = {"launch": 1.0, "token": token, "host": 0.3, "head": head}
    fake = device(rows=rows, chance=chance, caught=caught, shapes=WITH_TREES, **costs)
    assert max(fake.shapes, key=fake.rate).head == trees, "the costs are made so"
    fake.run(200)
    shapes = fake.run(600)
    assert fake.loss(shapes) < 0.06, {shape.words: count for shape, count in shapes.items()}
    assert sum(count for shape, count in shapes.items() if shape.head == trees) > 400


@pytest.mark.parametrize("tried", [True, False])
@pytest.mark.parametrize(("chance", "groups"), [(0.72, 0.74), (0.92, 1.0), (0.15, 1.0)], ids=["smol", "easy", "hard"])
def test_a_second_draft_group_is_tried_and_kept_where_it_helps(
    device: Callable[..., FakeDevice], monkeypatch: pytest.MonkeyPatch, chance: float, groups: float, tried: bool
) -> None:
    """Both kinds of chains cost the same; a twin that expects nothing of the group never learns what it brings."""
    if not tried:
        monkeypatch.setattr("fef.engine.choice._LEFT_TO_GROUPS", 1.0)
    fake = device(rows=1, launch=1.0, token=0.0003, host=0.3, chance=chance, groups=groups)
    fake.run(200)
    shapes = fake.run(800)
    assert (fake.loss(shapes) < 0.04) == (tried or groups == 1), {shape.words: n for shape, n in shapes.items()}


def test_a_full_batch_hardly_tries_again_what_lost(device: Callable[..., FakeDevice]) -> None:
    """Of rounds that serve many requests, few tell much, but each time that a shape is tried takes some."""
    fake = device(rows=64, launch=1.0, token=0.0001, host=0.3, chance=0.65)
    fake.run(200)
    shapes = fake.run(300)
    assert max(shapes.values()) > 270 and fake.loss(shapes) < 0.02


@pytest.mark.parametrize(("length", "trees"), [(4000, True), (10, False)])
def test_short_texts_take_cheap_rounds_since_some_run_behind_every_end(
    device: Callable[..., FakeDevice], length: int, trees: bool
) -> None:
    """Trees are 8 % faster while a text goes on, and chains where a round runs in vain behind every few."""
    fake = device(rows=64, launch=1.0, token=0.0001, host=0.3, chance=0.65, caught=0.6, head=0.62, shapes=WITH_TREES)
    fake.chooser.ahead = _LAG
    fake.chooser.learn_length(length)
    fake.run(200)
    assert sum(count for shape, count in fake.run(300).items() if shape.head == trees) > 200


def test_the_length_of_texts_is_the_mean_of_some_and_follows_a_change(device: Callable[..., FakeDevice]) -> None:
    chooser = device(rows=1, launch=1.0, token=0.0, host=0.3, chance=0.7).chooser
    found = [chooser.length]
    for lengths in ([30], [10, 20], [100] * 400, [0] * 400):
        for length in lengths:
            chooser.learn_length(length)
        found.append(chooser.length)
    assert found == [math.inf, 30.0, 20.0, pytest.approx(100, abs=1), pytest.approx(1.0, abs=0.1)]
    assert min(found) >= 1, "a text has a token"


def test_costs_are_of_rounds_and_never_of_what_ran_between_them(device: Callable[..., FakeDevice]) -> None:
    """A replay takes nine seconds here, and a pause half a second."""
    fake = device(rows=1, launch=0.2, token=0.001, host=0.45, chance=0.7)
    fake.run(300)
    used = {shape: seconds for (_, shape), seconds in fake.chooser.costs.seconds.items()}
    assert fake.replayed == len(used) > 2
    for shape, seconds in used.items():
        known = [fake.cost(shape, 1), fake.seconds(shape)]
        assert any(seconds == pytest.approx(one) for one in known), shape.words


@pytest.mark.parametrize("ages", [True, False])
def test_drafts_are_tried_again_when_texts_become_easy(
    device: Callable[..., FakeDevice], monkeypatch: pytest.MonkeyPatch, ages: bool
) -> None:
    """While every round is of one token nothing is seen of drafts, so what is known of them ages; a twin for which it does
    not never drafts again."""
    if not ages:
        monkeypatch.setattr("fef.engine.choice._MEMORY_OF_ROUNDS", float("inf"))
    fake = device(rows=64, launch=0.2, token=0.0005, host=0.2, chance=0.05)
    fake.run(100)
    assert fake.run(300)[RoundShape(0)] > 280, "hard texts, and every token costs"
    fake.chance = 0.95
    shapes = fake.run(4000)
    assert (fake.loss(shapes) < 0.2) == ages, {shape.words: count for shape, count in shapes.items()}


def test_a_choice_that_is_made_again_stands_for_some_rounds_of_as_many_rows(
    device: Callable[..., FakeDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask takes the host a tenth of a millisecond, a part of the round of a small network that tells."""
    asked = []
    monkeypatch.setattr(
        "fef.engine.shape_chooser.choose_shape", lambda *known: asked.append(known) or choose_shape(*known)
    )
    fake = device(rows=2, launch=1.0, token=0.001, host=0.3, chance=0.7)
    fake.run(300)
    asked.clear()
    fake.run(80)
    assert 10 <= len(asked) <= 20
    asked.clear()
    for fake.rows in (1, 2, 1, 2):
        fake.run(1)
    assert len(asked) >= 4, "of another number of rows another shape may be the best"
