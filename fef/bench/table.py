"""Rows in words, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from fef.bench.summary import Refusal, Row

__all__ = ["BELOW", "COLUMNS", "cells", "rows_table"]

BELOW = "<"
"""Marks a measured speed-up in passes that falls below the predicted one."""

COLUMNS = (
    "method",
    "right, % (95 %)",
    "to sequential (95 %)",
    "passes",
    "tokens/pass",
    "rows",
    "token-forwards",
    "seconds",
    "speed-up in passes, predicted",
    "speed-up in time",
    "law",
)


def rows_table(rows: Sequence[Row], refusals: Sequence[Refusal]) -> Table:
    """A section a family: the methods that ran, then those that the model cannot run, with the reason."""
    table = Table(header_style="bold", caption_justify="left")
    table.add_column("family")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("method", "law") else "right", overflow="fold")
    for family in dict.fromkeys([row.family for row in rows] + [refusal.family for refusal in refusals]):
        lines = [cells(row) for row in rows if row.family == family]
        for refusal in (r for r in refusals if r.family == family):
            lines.append([refusal.method, "not run", *[""] * (len(COLUMNS) - 3), refusal.reason])
        for first, line in zip([family, *[""] * len(lines)], lines, strict=False):
            table.add_row(first, *map(escape, line))
        table.add_section()
    table.caption = "Costs are a problem; (0.50x): half of what sequential takes."
    if any(row.below_prediction for row in rows):
        table.caption += f" {BELOW}: the measured speed-up in passes falls below the predicted one."
    return table


def cells(row: Row) -> list[str]:
    """A row under `COLUMNS`. Costs are a problem; behind each, where `sequential` was run, its multiple of that."""

    def cost(total: float, ratio: float | None, digits: int) -> str:
        return f"{total / row.problems:,.{digits}f}" + ("" if ratio is None else f" ({ratio:.2f}x)")

    return [
        row.method,
        f"{row.accuracy:.1f} ({row.low:.1f} to {row.high:.1f})",
        difference_words(row),
        cost(row.calls, row.calls_ratio, 1),
        f"{row.tokens_per_call:.2f}",
        cost(row.rows, row.rows_ratio, 1),
        cost(row.token_forwards, row.token_forwards_ratio, 0),
        cost(row.seconds, row.seconds_ratio, 3),
        pass_speedup_words(row),
        "" if row.time_speedup is None else f"{row.time_speedup:.2f}",
        row.certificate,
    ]


def difference_words(row: Row) -> str:
    if row.difference is None:
        return ""
    return f"{row.difference:+.1f} ({row.difference_low:+.1f} to {row.difference_high:+.1f})"


def pass_speedup_words(row: Row) -> str:
    if row.predicted_pass_speedup is None:
        return f"{row.pass_speedup:.2f}"
    mark = f" {BELOW}" if row.below_prediction else ""
    return f"{row.pass_speedup:.2f}{mark}, {row.predicted_pass_speedup:.2f}"
