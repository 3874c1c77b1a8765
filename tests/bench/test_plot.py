import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

from fef.bench import page
from fef.errors import OptionError
from fef.measure import plot


@pytest.fixture(scope="module")
def rows(make_row):
    names = [
        "fef",
        "sequential",
        "low-confidence:tokens_per_step=4",
        "threshold:block_length=32",
        "a $odd_name$",
        "dual",
    ]
    kinds = ["chain", "greedy", "none", "bound", "process", "none"]
    return [
        make_row(method=name, certificate=kind, calls=100 + 3 * i, seconds=5.0 + i, accuracy=99.0 + 0.1 * i, low=95.0)
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]


def figure_of(rows):
    costs = {name: [getattr(row, name) for row in rows] for name in ("calls", "seconds")}
    return plot.costs_figure("joint", rows, costs, "right")


def test_pictures_are_small_png_files_and_the_same_each_time(rows):
    picture = page.family_picture(rows)
    assert picture.startswith(b"\x89PNG")
    plain = io.BytesIO()
    figure_of(rows).savefig(plain, format="png")
    assert len(picture) < len(plain.getvalue()) / 2
    shown = {color for _, color in Image.open(io.BytesIO(picture)).convert("RGB").getcolors()}
    marks = {tuple(bytes.fromhex(plot.LOOKS[row.certificate][0][1:])) for row in rows}
    assert marks <= shown, "no mark lost its colour"
    assert page.family_picture(rows) == picture


def test_a_page_has_a_picture_of_all_families_together_or_of_the_only_one(make_row):
    joint, both = make_row(family="joint"), make_row(family="all families")
    assert page.together([joint, both]) == [both]
    assert page.together([joint]) == [joint]
    assert page.together([]) == []


def test_labels_in_the_figure_do_not_touch(rows):
    figure = figure_of(rows)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert [note.get_text() for note in axes.texts] == [row.method for row in rows]
        extents = [Text.get_window_extent(note) for note in axes.texts]  # without its line
        assert not any(a.overlaps(b) for a, b in itertools.combinations(extents, 2))


def test_a_method_of_no_cost_spread_and_full_accuracy_has_a_picture(make_row):
    for right in (100.0, 0.0):
        assert page.family_picture([make_row(accuracy=right, low=right, high=right)]).startswith(b"\x89PNG")


def test_a_missing_library_is_named_with_the_fix(monkeypatch):
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    with pytest.raises(OptionError, match=r"fef\[plot\]"):
        plot.check_plotting()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_the_line_is_the_best_that_each_cost_buys(points):
    corners = plot.stairs(points, 10)
    for (x, y), (next_x, next_y) in itertools.pairwise(corners):
        assert (next_x == x and next_y >= y) or (next_y == y and next_x >= x)
        assert next_y == y or next_y == max(gain for cost, gain in points if cost <= next_x)
    assert corners[0] == min(points, key=lambda p: (p[0], -p[1]))
    assert corners[-1] == (10, max(gain for _, gain in points))
