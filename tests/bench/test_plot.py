import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

from fef.errors import OptionError
from fef.measure import plot


@pytest.fixture(scope="module")
def runs():
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
        plot.Plotted(name, 100.0 + 3 * i, 99.0 + 0.1 * i, 95.0, 100.0, kind)
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]


def figure_of(runs):
    return plot.costs_figure("joint", runs, "calls", "right")


def test_pictures_are_small_png_files_and_the_same_each_time(runs):
    picture = plot.png_bytes(figure_of(runs))
    assert picture.startswith(b"\x89PNG")
    plain = io.BytesIO()
    figure_of(runs).savefig(plain, format="png")
    assert len(picture) < len(plain.getvalue()) / 2
    shown = {color for _, color in Image.open(io.BytesIO(picture)).convert("RGB").getcolors()}
    marks = {tuple(bytes.fromhex(plot.LOOKS[run.certificate][0][1:])) for run in runs}
    assert marks <= shown, "no mark lost its colour"
    assert plot.png_bytes(figure_of(runs)) == picture


def test_labels_in_the_figure_do_not_touch(runs):
    figure = figure_of(runs)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert [note.get_text() for note in axes.texts] == [run.method for run in runs]
        extents = [Text.get_window_extent(note) for note in axes.texts]  # without its line
        assert not any(a.overlaps(b) for a, b in itertools.combinations(extents, 2))


def test_a_method_of_no_cost_spread_and_full_accuracy_has_a_picture():
    for right in (100.0, 0.0):
        run = plot.Plotted("fef", 5.0, right, right, right, "greedy")
        assert plot.png_bytes(figure_of([run])).startswith(b"\x89PNG")


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
