"""Measured row costs and their files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tiny_network import tiny_network

import fef
from fef.models.row_costs import pass_milliseconds


def test_a_table_is_measured_saved_and_read_again(tmp_path):
    network = tiny_network()
    costs = fef.measure_row_costs(network, 6, rows=(1, 3), repeats=2, acceptance=0.7)
    assert (costs.network, costs.dtype, costs.length, costs.rows) == ("Transformer", "float64", 6, (1, 3))
    assert costs.acceptance == 0.7
    assert f"threads: {torch.get_num_threads()}" in costs.device
    assert min(costs.milliseconds) > 0
    fef.save_row_costs(costs, tmp_path / "costs.json")
    assert fef.load_row_costs(tmp_path / "costs.json", network) == costs


def test_a_number_is_the_median_of_passes_after_one_that_is_not_counted(monkeypatch):
    """Two numbers, of three passes each behind a warm-up."""
    seen, took = [], iter([99, 1, 7, 2, 99, 30, 20, 10])

    def timed(_, ids_RL):
        seen.append(tuple(ids_RL.shape))
        return float(next(took))

    monkeypatch.setattr("fef.models.row_costs.pass_milliseconds", timed)
    costs = fef.measure_row_costs(tiny_network(), 5, rows=(1, 2), repeats=3)
    assert costs.milliseconds == (2, 20)
    assert seen == [(1, 5)] * 4 + [(2, 5)] * 4


def test_the_table_ends_where_memory_does(monkeypatch):
    room = 2

    def timed(_, ids_RL):
        if len(ids_RL) > room:
            raise torch.OutOfMemoryError
        return 1.0

    monkeypatch.setattr("fef.models.row_costs.pass_milliseconds", timed)
    assert fef.measure_row_costs(tiny_network(), 5, rows=(1, 2, 4, 8)).rows == (1, 2)
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        fef.measure_row_costs(tiny_network(), 5)


def test_more_work_takes_longer():
    network = tiny_network()
    few, many = (min(pass_milliseconds(network, torch.zeros(r, 64).long()) for _ in range(5)) for r in (1, 64))
    assert many > few


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 0}, "length=0"),
        ({"length": 10**6}, "1 to"),
        ({"length": 4, "repeats": 0}, "at least 1"),
        ({"length": 4, "rows": ()}, "from 1 on"),
        ({"length": 4, "rows": (2, 4)}, "from 1 on"),
        ({"length": 4, "acceptance": 2.0}, "probability"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_timed(options, words, monkeypatch):
    monkeypatch.setattr("fef.models.row_costs.pass_milliseconds", None)
    with pytest.raises(fef.OptionError, match=words):
        fef.measure_row_costs(tiny_network(), **options)


@pytest.mark.parametrize("other", [{"network": "LLaDA"}, {"device": "NVIDIA H100"}, {"dtype": "bfloat16"}])
def test_a_file_of_another_network_or_device_is_refused(tmp_path, other):
    network, file = tiny_network(), tmp_path / "costs.json"
    costs = fef.measure_row_costs(network, 4, rows=(1,), repeats=1)
    fef.save_row_costs(replace(costs, **other), file)
    with pytest.raises(
        fef.InputError, match=rf"costs.json are of .*{next(iter(other.values()))}.*; this is .*measures anew"
    ):
        fef.load_row_costs(file, network)


def damaged(text: str) -> list[str]:
    value = json.loads(text)
    first = value["passes"][0]
    return [
        json.dumps({k: v for k, v in value.items() if k != "passes"}),
        json.dumps(value | {"passes": [first | {"rows": 2}, first]}),
        json.dumps(value | {"passes": [first | {"rows": 1.5}]}),
        json.dumps(value | {"passes": [first | {"seconds": "fast"}]}),
        json.dumps(value | {"passes": [first | {"seconds": None}]}),
        json.dumps(value | {"conditions": value["conditions"] | {"colour": 1}}),
        json.dumps(value | {"conditions": 3}),
    ]


@pytest.mark.parametrize("kind", range(7))
def test_a_file_that_is_no_table_is_refused(tmp_path, kind):
    network, file = tiny_network(), tmp_path / "costs.json"
    fef.save_row_costs(fef.measure_row_costs(network, 4, rows=(1,), repeats=1), file)
    file.write_text(damaged(file.read_text())[kind])
    with pytest.raises(fef.InputError, match=r"holds no row costs .* measures anew"):
        fef.load_row_costs(file, network)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(fef.InputError, match=r"Cannot read .*No such file"):
        fef.load_row_costs(tmp_path / "none.json", tiny_network())
