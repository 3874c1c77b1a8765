"""A record as a picture: tokens per second against the batch size, and the share of bandwidth by kind of pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fef.bench.engine.passes import ROUND
from fef.bench.engine.record import EngineRecord
from fef.bench.engine.serving import ENGINE, Served
from fef.bench.engine.summary import one_token, title
from fef.bench.engine.table import pass_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["engine_figure"]

# Okabe and Ito's colours, which stay apart for colour-blind readers; the markers say the same in grey.
LOOKS = [
    ("#0072B2", "o"),
    ("#009E73", "s"),
    ("#D55E00", "X"),
    ("#CC79A7", "D"),
    ("#E69F00", "^"),
    ("#56B4E9", "v"),
    ("#000000", "P"),
    ("#999999", "*"),
]


def engine_figure(record: EngineRecord) -> Figure:
    """The figure, to be saved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    environment = record.setup["environment"]
    figure.suptitle(f"{record.setup['model']}, {environment.get('gpu', environment['cpu'])}", parse_math=False)
    left, right = figure.subplots(1, 2)
    if record.served:
        draw_rates(left, record)
    else:
        draw_unit_rates(left, record)
    draw_shares(right, record)
    return figure


def draw_rates(axes: Axes, record: EngineRecord) -> None:
    """Lines for the engine; for the loop a filled point as it runs and an open one idealised."""
    by_name: dict[str, list[Served]] = {}
    for row in record.served:
        by_name.setdefault(title(row), []).append(row)
    for number, (name, rows) in enumerate(by_name.items()):
        color, marker = LOOKS[number % len(LOOKS)]
        batches = [row.batch for row in rows]
        line = "-" if rows[0].where == ENGINE else ""
        axes.plot(batches, [row.rate for row in rows], color=color, marker=marker, linestyle=line, label=name)
        ideal = [(row.batch, row.ideal_rate) for row in rows if row.ideal_rate is not None]
        if ideal:
            axes.plot(
                *zip(*ideal, strict=True),
                color=color,
                marker=marker,
                linestyle="",
                markerfacecolor="none",
                label=f"{name}, idealised",
            )
    finish(axes, record, "tokens per second")
    axes.set_yscale("log")


def draw_unit_rates(axes: Axes, record: EngineRecord) -> None:
    """Without problems: passes of the whole batch a second, times its rows."""
    found = one_token(record)
    batches = [row.batch for row in found]
    lines = [
        ("one full pass per token", [row.batch * row.tokens / row.full for row in found]),
        ("one-token rounds", [row.batch * row.tokens / row.rounds for row in found]),
        ("widest rounds (times the tokens per round)", [row.batch / row.round for row in found]),
    ]
    for (name, values), (color, marker) in zip(lines, LOOKS, strict=False):
        axes.plot(batches, values, color=color, marker=marker, label=name)
    finish(axes, record, "tokens per second at one token per pass")
    axes.set_yscale("log")


def draw_shares(axes: Axes, record: EngineRecord) -> None:
    names = list(dict.fromkeys(pass_name(row) for row in record.passes))
    for number, name in enumerate(names):
        color, marker = LOOKS[number % len(LOOKS)]
        rows = [row for row in record.passes if pass_name(row) == name]
        line = "-" if rows[0].kind == ROUND else ":"
        shares = [100 * row.share for row in rows]
        axes.plot([row.batch for row in rows], shares, color=color, marker=marker, linestyle=line, label=name)
    finish(axes, record, "share of copy bandwidth, %")
    axes.set_ylim(bottom=0)


def finish(axes: Axes, record: EngineRecord, what: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(record.setup["batches"]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("requests at once")
    axes.set_ylabel(what)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
