"""A record in words: the same cells for the terminal and for the page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from fef.bench.engine.passes import ROUND, PassRow
from fef.bench.engine.record import EngineRecord
from fef.bench.engine.serving import Served
from fef.bench.engine.summary import one_token, our_row, title

__all__ = ["Sheet", "pass_name", "sheets", "terminal_tables"]


@dataclass(frozen=True)
class Sheet:
    """A table in words."""

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]


def sheets(record: EngineRecord) -> Iterator[Sheet]:
    """The tables that the record has something for."""
    yield passes_sheet(record)
    if record.served:
        yield serving_sheet(record)
        yield ratios_sheet(record)
    elif one_token(record):
        yield one_token_sheet(record)
    for batch in dict.fromkeys(row.batch for row in record.profile):
        yield profile_sheet(record, batch)
    if record.failures:
        lines = [[str(f.batch), f.part, f.reason] for f in record.failures]
        yield Sheet("Not measured", ["batch", "part", "reason"], lines)


def terminal_tables(record: EngineRecord) -> Iterator[Table]:
    for sheet in sheets(record):
        table = Table(title=sheet.title, title_justify="left", header_style="bold")
        for name in sheet.header:
            words = name in ("method", "pass", "computed in", "kernel", "part", "reason")
            table.add_column(name, justify="left" if words else "right", overflow="fold")
        for line in sheet.lines:
            table.add_row(*map(escape, line))
        yield table


def pass_name(row: PassRow) -> str:
    if row.kind != ROUND:
        return row.kind
    return "one-token round" if row.window == 0 else f"round, window {row.window}"


def passes_sheet(record: EngineRecord) -> Sheet:
    header = ["batch", "pass", "rows", "tokens per row", "ms", "GB read", "share of copy bandwidth", "computed in"]
    lines = [
        [
            str(row.batch),
            pass_name(row),
            str(row.rows),
            str(row.tokens),
            milliseconds(row.seconds),
            f"{row.bytes_read / 1e9:.3g}",
            f"{100 * row.share:.0f} %",
            row.how,
        ]
        for row in record.passes
    ]
    return Sheet("Passes", header, lines)


def serving_sheet(record: EngineRecord) -> Sheet:
    header = ["batch", "method", "problems", "right, %", "tokens/s", "idealised", "passes", "tokens/pass"]
    header += ["tokens/round, predicted", "real", "first token, ms", "peak GB"]
    lines = [
        [
            str(row.batch),
            title(row),
            str(row.problems),
            f"{row.accuracy:.1f}",
            f"{row.rate:,.0f}",
            "" if row.ideal_rate is None else f"{row.ideal_rate:,.0f}",
            f"{row.passes / row.problems:.1f}",
            f"{row.tokens / row.passes:.2f}",
            "" if row.predicted is None else f"{row.predicted:.2f}",
            "" if row.real is None else f"{row.real:.2f}",
            "" if row.first_token is None else milliseconds(row.first_token),
            "" if row.memory is None else f"{row.memory / 1e9:.2f}",
        ]
        for row in record.served
    ]
    return Sheet("Answers", header, lines)


def ratios_sheet(record: EngineRecord) -> Sheet:
    """Tokens per second of `fef` in the engine over those of each other decoder."""
    batches = [batch for batch in record.setup["batches"] if our_row(record, batch) is not None]
    by_name: dict[str, dict[int, Served]] = {}
    for row in record.served:
        by_name.setdefault(title(row), {})[row.batch] = row
    lines = []
    for name, rows in by_name.items():
        if any(row == our_row(record, row.batch) for row in rows.values()):
            continue
        cells = []
        for batch in batches:
            ours = our_row(record, batch)
            assert ours is not None, "only such batches are kept"
            cells.append(ratio_words(ours, rows[batch]) if batch in rows else "not measured")
        lines.append([name, *cells])
    return Sheet("Times as fast", ["method", *(f"batch {batch}" for batch in batches)], lines)


def ratio_words(ours: Served, other: Served) -> str:
    words = f"{ours.rate / other.rate:.1f}"
    return words if other.ideal_rate is None else f"{words}, idealised {ours.rate / other.ideal_rate:.2f}"


def one_token_sheet(record: EngineRecord) -> Sheet:
    found = one_token(record)
    tokens = found[0].tokens
    header = [
        "batch",
        f"{tokens} full passes, s",
        f"{tokens} one-token rounds, s",
        "widest round, ms",
        "full pass / round",
    ]
    lines = [
        [str(row.batch), f"{row.full:.2f}", f"{row.rounds:.2f}", milliseconds(row.round), f"{row.gain:.2f}"]
        for row in found
    ]
    return Sheet("One token per pass", header, lines)


def profile_sheet(record: EngineRecord, batch: int) -> Sheet:
    rows = [row for row in record.profile if row.batch == batch]
    lines = [
        [kernel_name(row.name), f"{row.microseconds:,.1f}", f"{row.count:g}", f"{100 * row.share:.1f} %"]
        for row in rows
    ]
    header = ["kernel", "microseconds", "launches", "share"]
    return Sheet(f"Round of window {rows[0].window} at batch {batch}", header, lines)


def milliseconds(seconds: float) -> str:
    """Three digits, or all of them before the point."""
    value = 1e3 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def kernel_name(name: str) -> str:
    """Without the types of C++, which can take a page: `at::native::copy` of `void at::native::copy<...>(...)`."""
    short = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    while (shorter := re.sub(r"<[^<>]*>|\([^()]*\)", "", short)) != short:
        short = shorter
    return short.partition("<")[0].partition("(")[0].strip() or name
