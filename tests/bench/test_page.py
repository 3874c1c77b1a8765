from dataclasses import replace

import pytest

from fef.bench.page import MARGIN, equally_accurate, fewest_passes, methods_page
from fef.bench.run import METHODS_KIND
from fef.measure.record import Failure, Record

SETUP = {
    "model": "demo",
    "weights": "00ff",
    "problems": 10,
    "settings": {"batch_size": 4, "max_new_tokens": 128, "temperature": 0.0, "top_p": 1.0, "seed": 0},
    "time_each": False,
    "texts": False,
    "environment": {"fef": "0", "torch": "2", "python": "3", "device": "cpu", "cpu": "a chip", "threads": 2},
}


@pytest.fixture
def rows(make_row):
    return [
        make_row(),
        make_row(
            method="fef",
            difference=0.0,
            calls=14,
            pass_speedup=7.1,
            predicted_pass_speedup=8.0,
            seconds=9.55,
            seconds_ratio=1.91,
        ),
        make_row(method="dual", difference=-40.0, calls=5),
        make_row(method="a|b", difference=-MARGIN, calls=20),
    ]


@pytest.fixture
def record():
    same = {"family": "joint", "first": "fef", "second": "sequential", "same": 9, "problems": 10}
    failures = [Failure(("joint", "demask"), "It has no head.")]
    return Record(METHODS_KIND, "fef bench --n 10", SETUP, {"comparisons": [same]}, failures=failures, finished=True)


def test_equal_accuracy_is_at_most_half_a_point_below(make_row):
    by_difference = [make_row(difference=d) for d in (-10.0, -0.6, -0.5, 0.0, 0.5, 8.0, None)]
    assert [row.difference for row in equally_accurate(by_difference)] == [-0.5, 0.0, 0.5, 8.0]


def test_fewest_passes_keeps_ties(make_row):
    rows = [make_row(method=name, calls=calls) for name, calls in (("a", 7), ("b", 5), ("c", 5))]
    assert [row.method for row in fewest_passes(rows)] == ["b", "c"]
    assert fewest_passes([]) == []


def test_the_page_says_who_wins_from_the_rows(record, rows, make_row):
    page = methods_page(record, rows, "results")
    assert page.startswith("# Results of `demo`\n")
    assert "```\nfef bench --n 10\n```" in page
    assert "| `fef` | **yes** (+0.0), 1.4 |" in page
    assert "| `dual` | no (-40.0), 0.5 |" in page
    assert "| `a\\|b` | **yes** (-0.5), 2.0 |" in page
    assert "- joint: the fewest passes with a yes are those of `fef`, 1.4 per problem." in page
    assert "![Accuracy against passes and seconds, joint](results-joint.png)" in page
    assert "| speed-up in passes, predicted | speed-up in time |" in page
    assert "| 7.10 <, 8.00 | 0.52 |" in page
    assert "- `demask`: It has no head." in page
    assert "gave the same tokens on 9 of 10 problems" in page
    assert "cpu (a chip, 2 threads)" in page
    assert "Unfinished" not in page
    # another winner, another sentence
    quicker = [*rows, make_row(method="ssd", calls=3)]
    assert "those of `ssd`, 0.3 per problem" in methods_page(record, quicker, "results")


def test_every_table_has_as_many_cells_in_each_line(record, rows):
    tables = [part for part in methods_page(record, rows, "r").split("\n\n") if part.startswith("| ")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


def test_an_unfinished_run_and_a_missing_baseline_are_said(record, make_row):
    page = methods_page(replace(record, finished=False), [make_row(method="fef", difference=None)], "r")
    assert "**Unfinished**" in page
    assert "`sequential` was not run" in page
