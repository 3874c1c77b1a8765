"""Costs of rounds, how far drafts survive, and the window that follows from both."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tiny_network import MASK, tiny_network

import fef
from fef.engine.costs import FIRST_GUESS, CostTable, Survival, choose_shape
from fef.engine.engine import Engine
from fef.errors import InputError
from fef.models.packed_pass import RoundShape

WHAT = {"network": "n", "device": "d", "dtype": "float32"}


def test_costs_between_measured_rows_lie_on_a_line():
    table = CostTable({}, {(2, 4): 1.0, (4, 4): 2.0, (16, 4): 5.0, (1, 8): 3.0})
    assert table.cost(3, 4) == 1.5
    assert table.cost(10, 4) == 3.5
    assert [table.cost(rows, 4) for rows in (2, 4, 16)] == [1.0, 2.0, 5.0]
    assert table.cost(20, 4) == pytest.approx(6.0)  # on from the last two
    assert table.cost(3, 8) == 9.0  # one alone: as if rows cost the same each
    assert table.cost(1, 8) == 3.0
    assert table.cost(3, 5) is None
    assert CostTable().cost(1, 4) is None


def test_fewer_rows_than_were_ever_measured_cost_no_more():
    table = CostTable({}, {(8, 4): 1.0, (16, 4): 2.0})
    assert table.cost(2, 4) == 1.0
    assert CostTable({}, {(8, 4): 1.0}).cost(2, 4) == 1.0


def test_a_saved_table_is_the_table(tmp_path):
    table = CostTable(WHAT, {(1, 4): 0.1, (16, 8): 1 / 3, (2, 0): 1e-5, (4, 16): math.inf})
    table.save(tmp_path / "costs.json")
    assert CostTable.load(tmp_path / "costs.json", WHAT) == table


@pytest.mark.parametrize("name", WHAT)
def test_costs_of_something_else_are_refused(tmp_path, name):
    CostTable(WHAT, {(1, 4): 0.1}).save(tmp_path / "costs.json")
    with pytest.raises(InputError, match=f"are of {name} '{WHAT[name]}'; this is {name} 'other'"):
        CostTable.load(tmp_path / "costs.json", WHAT | {name: "other"})


def head(**changed) -> dict:
    return {"format": "fef costs", "version": 1, "kind": "rounds", "conditions": WHAT, "passes": []} | changed


@pytest.mark.parametrize(
    "value",
    [
        head(passes=[1]),
        head(passes=[{"rows": 1, "seconds": 0.1}]),
        head(passes=[{"rows": 1, "window": 4}]),
        head(passes=[{"rows": 1, "window": "wide", "seconds": 0.1}]),
        head(passes=[{"rows": 1, "window": 4, "seconds": 0.1}] * 2),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, value):
    (tmp_path / "costs.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="holds no round costs"):
        CostTable.load(tmp_path / "costs.json", WHAT)


def test_row_costs_are_no_round_costs_and_the_other_way_round(tmp_path):
    network, rows, rounds = tiny_network(), tmp_path / "rows.json", tmp_path / "rounds.json"
    fef.save_row_costs(fef.measure_row_costs(network, 4, rows=(1,), repeats=1), rows)
    CostTable(WHAT, {(1, 4): 0.1}).save(rounds)
    with pytest.raises(InputError, match=r"rows\.json holds no round costs \(it holds row costs\)\. Measure anew"):
        Engine(network, max_length=8, costs=rows)
    with pytest.raises(InputError, match=r"rounds\.json holds no row costs \(it holds round costs\)"):
        fef.load_row_costs(rounds, network)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.json"):
        CostTable.load(tmp_path / "none.json", WHAT)


def test_an_engine_takes_saved_costs(tmp_path):
    network = tiny_network()
    first = Engine(network, max_length=8, windows=(1, 4), threads=1)
    first.submit([MASK] * 8, range(8)).result()
    assert {window for _, window in first.packed.costs.seconds} <= {1, 4}
    first.measure().save(tmp_path / "costs.json")
    second = Engine(network, max_length=8, windows=(1, 4), threads=1, costs=tmp_path / "costs.json")
    assert second.packed.costs == first.packed.costs
    network.name = "another"
    with pytest.raises(InputError, match="another"):
        Engine(network, max_length=8, costs=tmp_path / "costs.json")


def test_the_first_guess():
    assert Survival(4).tokens(3) == pytest.approx(1 + sum(FIRST_GUESS**i for i in (1, 2, 3)))
    assert Survival(4).tokens(0) == 1.0


def test_survival_is_what_was_seen():
    survival = Survival(8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        survival.observe(4, rng.geometric(0.3, 8).clip(max=5) - 1)  # a draft holds with 0.7
    expected = 1 + sum(0.7**i for i in (1, 2, 3, 4))
    assert survival.tokens(4) == pytest.approx(expected, rel=0.05)
    # nobody saw the fifth, and it holds no oftener than the fourth
    assert survival.tokens(8) - survival.tokens(4) <= 4 * 0.7**4 * 1.1


def test_survival_forgets():
    survival = Survival(4)
    for _ in range(2000):
        survival.observe(4, [4])
    assert survival.tokens(4) > 4.9
    for _ in range(4000):
        survival.observe(4, [0])
    assert survival.tokens(4) < 1.3
    assert survival.tried.max() < 2000


def test_nothing_seen_changes_nothing():
    survival = Survival(4)
    before = survival.tokens(4)
    survival.observe(4, np.zeros(0, dtype=np.int64))
    assert survival.tokens(4) == before


SHAPES = [RoundShape(w) for w in (0, 4, 16)]


def test_the_shape_of_most_tokens_a_second():
    survival = Survival(17)  # 1, 4.1 and 8.3 tokens expected
    for costs, best in [
        ({0: 1.0, 4: 2.0, 16: 3.0}, 16),
        ({0: 1.0, 4: 2.0, 16: 6.0}, 4),
        ({0: 1.0, 4: 6.0, 16: 16.0}, 0),
        ({0: math.inf, 4: 6.0, 16: 16.0}, 4),
        ({0: math.inf, 4: math.inf, 16: 16.0}, 16),
    ]:
        assert choose_shape(SHAPES, 3, survival, lambda _, w, costs=costs: costs[w]).window == best


def test_a_shape_of_unknown_cost_comes_first():
    asked = []

    def cost(rows, window):
        asked.append((rows, window))
        return None if window == 4 else 1e-9

    assert choose_shape(SHAPES, 5, Survival(17), cost).window == 4
    assert asked == [(5, 0), (5, 4)]


def test_costs_that_memory_forbids_leave_the_others():
    """Nothing fits: the first one is tried, and says so."""
    assert choose_shape(SHAPES, 1, Survival(17), lambda *_: math.inf) is SHAPES[0]
