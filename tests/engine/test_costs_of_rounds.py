"""Costs of rounds by shape and number of rows, and files of them."""

from __future__ import annotations

import json
import math

import pytest
from tiny_network import MASK, tiny_network

import fef
from fef.engine.costs import CostTable
from fef.engine.engine import Engine
from fef.errors import InputError
from fef.models.packed_pass import RoundShape

WHAT = {"network": "n", "device": "d", "dtype": "float32"}
NONE, ONE, FOUR, EIGHT, TREE = (
    RoundShape(0),
    RoundShape(1),
    RoundShape(4),
    RoundShape(8),
    RoundShape(16, 7, 7, 8, True),
)


def test_costs_between_measured_rows_lie_on_a_line():
    table = CostTable({}, {(2, FOUR): 1.0, (4, FOUR): 2.0, (16, FOUR): 5.0, (1, EIGHT): 3.0})
    assert table.cost(3, FOUR) == 1.5
    assert table.cost(10, FOUR) == 3.5
    assert [table.cost(rows, FOUR) for rows in (2, 4, 16)] == [1.0, 2.0, 5.0]
    assert table.cost(20, FOUR) == pytest.approx(6.0)  # on from the last two
    assert table.cost(3, EIGHT) == 9.0  # one alone: as if rows cost the same each
    assert table.cost(1, EIGHT) == 3.0
    assert table.cost(3, RoundShape(4, 1)) is None
    assert CostTable().cost(1, FOUR) is None


def test_more_rows_than_were_measured_cost_no_less_than_the_most():
    table = CostTable({}, {(1, FOUR): 0.05, (2, FOUR): 0.03})
    assert table.cost(16, FOUR) == 0.03


def test_fewer_rows_than_were_ever_measured_cost_as_if_rows_cost_the_same_each():
    table = CostTable({}, {(8, FOUR): 1.0, (16, FOUR): 2.0})
    assert table.cost(2, FOUR) == 0.25
    assert CostTable({}, {(8, FOUR): 1.0}).cost(4, FOUR) == 0.5


def test_the_first_round_of_a_shape_warms_up():
    table = CostTable()
    table.observe(3, FOUR, 9.0)
    assert table.cost(3, FOUR) is None
    table.observe(3, FOUR, 1.0)
    assert table.cost(3, FOUR) == 1.0


def test_pauses_of_the_host_spoil_no_cost():
    """Most rounds of a host that is busy now and then may be longer than they need to be."""
    table = CostTable()
    for seconds in (1.0, 60.0, 1.1, 60.0, 60.0, 0.9, 60.0):
        table.observe(3, FOUR, seconds)
    assert table.cost(3, FOUR) == 1.0
    for _ in range(7):
        table.observe(3, FOUR, 5.0)
    assert table.cost(3, FOUR) == 5.0 and table.cost(3, EIGHT) is None


def test_a_saved_table_is_the_table(tmp_path):
    table = CostTable(WHAT, {(1, FOUR): 0.1, (16, EIGHT): 1 / 3, (2, NONE): 1e-5, (4, TREE): math.inf})
    table.save(tmp_path / "costs.json")
    assert CostTable.load(tmp_path / "costs.json", WHAT) == table


@pytest.mark.parametrize("name", WHAT)
def test_costs_of_something_else_are_refused(tmp_path, name):
    CostTable(WHAT, {(1, FOUR): 0.1}).save(tmp_path / "costs.json")
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
        head(passes=[{"rows": 1, "window": 4, "anchors": -1, "seconds": 0.1}]),
        head(passes=[{"rows": 1, "window": 4, "head": 1, "seconds": 0.1}]),
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
    CostTable(WHAT, {(1, FOUR): 0.1}).save(rounds)
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
    assert {shape.window for _, shape in first.packed.chooser.costs.seconds} <= {1, 4}
    first.measure().save(tmp_path / "costs.json")
    second = Engine(network, max_length=8, windows=(1, 4), threads=1, costs=tmp_path / "costs.json")
    assert second.packed.chooser.costs == first.packed.chooser.costs
    network.name = "another"
    with pytest.raises(InputError, match="another"):
        Engine(network, max_length=8, costs=tmp_path / "costs.json")


def test_a_file_without_a_pass_is_refused(tmp_path):
    CostTable(WHAT).save(tmp_path / "costs.json")
    with pytest.raises(InputError, match="it has no pass"):
        CostTable.load(tmp_path / "costs.json", WHAT)
