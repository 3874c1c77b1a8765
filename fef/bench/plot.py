"""Accuracy against cost as pictures: a figure a family, a panel for passes and one for seconds. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from fef.bench.labels import Box, place_labels
from fef.bench.png import png_bytes
from fef.bench.statistics import frontier
from fef.bench.summary import Row
from fef.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Plotted",
    "check_plotting",
    "family_figure",
    "family_pictures",
    "passes_picture",
    "picture_stem",
    "together",
]

# Okabe and Ito's colours, which stay apart for colour-blind readers; the markers say the same in grey.
LOOKS = {
    "chain": ("#0072B2", "o", "exact sample of a chain law"),
    "greedy": ("#009E73", "s", "greedy text of a chain law"),
    "process": ("#CC79A7", "D", "exact for its own law"),
    "bound": ("#E69F00", "^", "within a bound"),
    "none": ("#D55E00", "X", "no stated law"),
}
MARKER = 5.0  # points
FONT = 7.0
DPI = 110


class Plotted(Protocol):
    """A run in a picture; as in `Row`."""

    @property
    def method(self) -> str: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def certificate(self) -> str: ...


COSTS: dict[str, Callable[[Row], float]] = {
    "forward passes per problem": lambda row: row.calls / row.problems,
    "seconds per problem": lambda row: row.seconds / row.problems,
}


def check_plotting() -> None:
    """Raise OptionError where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise OptionError("Plots need matplotlib, which is not installed. Run: pip install 'fef[plot]'")


def picture_stem(family: str) -> str:
    """A family's name as a part of a file's name."""
    return family.replace(" ", "-")


def family_pictures(rows: Sequence[Row]) -> dict[str, bytes]:
    """PNG files by name, `joint.png` for the family `joint`. The same rows give the same bytes."""
    return {
        f"{picture_stem(family)}.png": png_bytes(family_figure([row for row in rows if row.family == family]))
        for family in dict.fromkeys(row.family for row in rows)
    }


def together(rows: Sequence[Row]) -> list[Row]:
    """The rows that a page has a picture of: of all families together, which are the last ones, or of the only family."""
    return [row for row in rows if row.family == rows[-1].family]


def family_figure(rows: Sequence[Row]) -> Figure:
    """One family's figure: accuracy with its interval against passes and against seconds, with the Pareto frontiers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.0, 5.0 + 0.1 * len(rows)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{rows[0].family}: {rows[0].problems} problems, Wilson's 95 % intervals")
    panels = figure.subplots(1, len(COSTS), sharey=True)
    for axes, (name, cost) in zip(panels, COSTS.items(), strict=True):
        draw_points(axes, rows, [(cost(row), row.accuracy) for row in rows])
        axes.set_xlabel(f"{name} (log scale)")
    panels[0].set_ylabel("problems right, %")
    add_legend(figure, rows)
    settle(figure)
    for axes, cost in zip(panels, COSTS.values(), strict=True):
        draw_labels(axes, rows, [(cost(row), row.accuracy) for row in rows])
    return figure


def passes_picture(title: str, runs: Sequence[Plotted], passes: Sequence[float]) -> bytes:
    """A PNG of accuracy against passes: a point a run, the frontier, names beside the points. passes: of each run, per
    problem."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0 + 0.1 * len(runs)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots()
    points = [(x, run.accuracy) for x, run in zip(passes, runs, strict=True)]
    draw_points(axes, runs, points)
    axes.set_xlabel("forward passes per problem (log scale)")
    axes.set_ylabel("problems right, %, with Wilson's 95 % intervals")
    add_legend(figure, runs)
    settle(figure)
    draw_labels(axes, runs, points)
    return png_bytes(figure)


def add_legend(figure: Figure, rows: Sequence[Plotted]) -> None:
    from matplotlib.lines import Line2D

    present = [look for kind, look in LOOKS.items() if any(row.certificate == kind for row in rows)]
    handles = [Line2D([], [], color=c, marker=m, linestyle="", label=words) for c, m, words in present]
    handles.append(Line2D([], [], color="0.6", linewidth=1.0, label="Pareto frontier"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def settle(figure: Figure) -> None:
    """Place the axes for good, so that lengths on paper are known."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def draw_points(axes: Axes, rows: Sequence[Plotted], points: Sequence[tuple[float, float]]) -> None:
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

    for row, (x, y) in zip(rows, points, strict=True):
        color, marker, _ = LOOKS[row.certificate]
        reach = [[max(0.0, y - row.low)], [max(0.0, row.high - y)]]
        axes.errorbar(x, y, reach, color=color, marker=marker, markersize=MARKER, elinewidth=0.6, capsize=1.5)
    axes.set_xscale("log")
    axes.margins(0.15)
    axes.autoscale_view()
    left, right = axes.get_xlim()
    axes.plot(*zip(*stairs(points, right), strict=True), color="0.6", linewidth=1.0, zorder=1)
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in axes.get_yticks() if tick <= 100]))
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def stairs(points: Sequence[tuple[float, float]], edge: float) -> list[tuple[float, float]]:
    """Corners of the line of what can be had at each cost: up at each point of the frontier, and level on to `edge`."""
    best = [points[i] for i in frontier(points)]
    corners = [best[0]]
    for x, y in best[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (edge, best[-1][1])]


def draw_labels(axes: Axes, rows: Sequence[Plotted], points: Sequence[tuple[float, float]]) -> None:
    """The names beside their points, each with a thin line to its point."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes of a figure"
    notes = [
        axes.annotate(
            row.method,
            point,
            xytext=(0.0, 0.0),
            textcoords="offset points",
            fontsize=FONT,
            ha="center",
            va="center",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.5, "shrinkA": 0.0, "shrinkB": MARKER / 2},
        )
        for row, point in zip(rows, points, strict=True)
    ]
    pixel = 72.0 / figure.dpi  # points

    def on_paper(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y)) * pixel
        return float(across), float(up)

    anchors = [on_paper(x, y) for x, y in points]
    corners = [on_paper(x, y) for x, y in stairs(points, axes.get_xlim()[1])]
    bars = [(*on_paper(x, row.low), *on_paper(x, row.high)) for row, (x, _) in zip(rows, points, strict=True)]
    bars += [(*start, *stop) for start, stop in pairwise(corners)]
    extents = [note.get_window_extent() for note in notes]
    boxes = place_labels(
        anchors,
        [(extent.width * pixel + 4.0, extent.height * pixel) for extent in extents],
        axes_box(axes, pixel),
        MARKER,
        [(left - 0.5, bottom - 0.5, right + 0.5, top + 0.5) for left, bottom, right, top in bars],
    )
    for note, (x, y), (left, bottom, right, top) in zip(notes, anchors, boxes, strict=True):
        note.set_position(((left + right) / 2 - x, (bottom + top) / 2 - y))


def axes_box(axes: Axes, pixel: float) -> Box:
    left, bottom, right, top = (float(edge) * pixel for edge in axes.get_window_extent().extents)
    return left, bottom, right, top
