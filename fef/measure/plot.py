"""Pictures of results as small PNG files: accuracy against costs. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fef.errors import OptionError
from fef.measure.labels import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Plotted", "check_plotting", "costs_figure", "png_bytes", "stairs"]

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
GREYS = (255, 235, 200, 153, 110, 60, 0)  # paper, grid, frontier, ink, and what smooths edges
CROWD = 24  # runs from which on a picture is wide


@dataclass(frozen=True)
class Plotted:
    """A run in a picture of accuracy against cost. accuracy, low, high: in %."""

    method: str
    cost: float
    accuracy: float
    low: float
    high: float
    certificate: str  # its kind


def check_plotting() -> None:
    """Raise OptionError where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise OptionError("Plots need matplotlib, which is not installed. Run: pip install 'fef[plot]'")


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file with `palette`, a third of the size of one without. The same figure gives the same bytes."""
    from PIL import Image

    drawn, stream = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    colors = Image.new("P", (1, 1))
    colors.putpalette(palette())
    image = Image.open(drawn).convert("RGB").quantize(palette=colors, dither=Image.Dither.NONE)
    image.save(stream, "png", optimize=True)
    return stream.getvalue()


def palette() -> bytes:
    """Colours of three bytes each: those of the marks, the same half as strong, for thin lines and edges, and greys."""
    strong = [bytes.fromhex(color[1:]) for color, *_ in LOOKS.values()]
    weak = [bytes((255 + part) // 2 for part in color) for color in strong]
    return b"".join([*strong, *weak, *(bytes([grey] * 3) for grey in GREYS)])


def costs_figure(title: str, runs: Sequence[Plotted], cost: str, accuracy: str) -> Figure:
    """Accuracy with its interval against cost, the Pareto frontier, and names beside the points. cost, accuracy: what they
    are called."""
    check_plotting()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 14.0 if len(runs) > CROWD else 10.0, 5.0 + 0.1 * len(runs)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots()
    draw_points(axes, runs)
    axes.set_xlabel(f"{cost} (log scale)")
    axes.set_ylabel(accuracy)
    add_legend(figure, runs)
    # the axes are placed for good, so that lengths on paper are known
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    draw_labels(axes, runs)
    return figure


def add_legend(figure: Figure, runs: Sequence[Plotted]) -> None:
    from matplotlib.lines import Line2D

    present = [look for kind, look in LOOKS.items() if any(run.certificate == kind for run in runs)]
    handles = [Line2D([], [], color=c, marker=m, linestyle="", label=words) for c, m, words in present]
    handles.append(Line2D([], [], color="0.6", linewidth=1.0, label="Pareto frontier"))
    figure.legend(handles=handles, loc="outside lower center", ncols=(len(handles) + 1) // 2, frameon=False)


def draw_points(axes: Axes, runs: Sequence[Plotted]) -> None:
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

    for run in runs:
        color, marker, _ = LOOKS[run.certificate]
        x, y = run.cost, run.accuracy
        reach = [[max(0.0, y - run.low)], [max(0.0, run.high - y)]]
        axes.errorbar(x, y, reach, color=color, marker=marker, markersize=MARKER, elinewidth=0.6, capsize=1.5)
    axes.set_xscale("log")
    axes.margins(0.15)
    axes.autoscale_view()
    left, right = axes.get_xlim()
    axes.plot(*zip(*stairs(points_of(runs), right), strict=True), color="0.6", linewidth=1.0, zorder=1)
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in axes.get_yticks() if tick <= 100]))
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def points_of(runs: Sequence[Plotted]) -> list[tuple[float, float]]:
    return [(run.cost, run.accuracy) for run in runs]


def stairs(points: Sequence[tuple[float, float]], edge: float) -> list[tuple[float, float]]:
    """Corners of the Pareto frontier, the line of the most that can be had at each cost: up at each point that no other
    dominates, and level on to `edge`."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not corners:
            corners.append((x, y))
        elif y > corners[-1][1]:
            corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (edge, corners[-1][1])]


def draw_labels(axes: Axes, runs: Sequence[Plotted]) -> None:
    """The names beside their points, each with a thin line to its point."""
    arrow = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.5, "shrinkA": 0.0, "shrinkB": MARKER / 2}
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": FONT, "ha": "center", "va": "center"}
    look |= {"parse_math": False, "arrowprops": arrow}
    points = points_of(runs)
    notes = [axes.annotate(run.method, at, xytext=(0.0, 0.0), **look) for run, at in zip(runs, points, strict=True)]
    lines = [((run.cost, run.low), (run.cost, run.high)) for run in runs]
    lines += pairwise(stairs(points, axes.get_xlim()[1]))
    # from here on lengths are in points of the paper
    pixel, places = 72.0 / DPI, axes.transData.transform
    anchors = (places(points) * pixel).tolist()
    bars = (places(np.reshape(lines, (-1, 2))) * pixel).reshape(-1, 4) + np.array([-0.5, -0.5, 0.5, 0.5])
    extents = [note.get_window_extent() for note in notes]
    sizes = [(extent.width * pixel + 4.0, extent.height * pixel) for extent in extents]
    left, bottom, right, top = np.multiply(axes.get_window_extent().extents, pixel)
    boxes = place_labels(anchors, sizes, (left, bottom, right, top), MARKER, bars)
    for note, (x, y), (left, bottom, right, top) in zip(notes, anchors, boxes, strict=True):
        note.set_position(((left + right) / 2 - x, (bottom + top) / 2 - y))
