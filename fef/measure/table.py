"""A table in words: the same cells for the terminal and for a page in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.markup import escape
from rich.table import Table

__all__ = ["Sheet", "interval_words", "known", "markdown", "p_words", "sheet_of", "terminal"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class Sheet:
    """A table in words."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""  # below it, on a terminal
    words: Collection[str] | None = ()  # columns of words, which begin at the left; None: all of them
    named: bool = False  # the first column holds names of methods
    framed: bool = True  # on a terminal


def sheet_of(rows: Iterable[Row], columns: Mapping[str, Callable[[Row], str]], title: str = "", **more: Any) -> Sheet:
    """A line per row. columns: what stands in each, by its name; those in which nothing stands are left out. more: as `Sheet`
    has it."""
    lines = [[cell(row) for cell in columns.values()] for row in rows]
    told = [number for number in range(len(columns)) if not lines or any(line[number] for line in lines)]
    header = [*columns]
    return Sheet([header[i] for i in told], [[line[i] for i in told] for line in lines], title, **more)


def terminal(sheet: Sheet) -> Table:
    words = sheet.header if sheet.words is None else sheet.words
    table = Table(header_style="bold", title=sheet.title or None, title_justify="left", caption_justify="left")
    table.caption = sheet.caption or None
    table.box = table.box if sheet.framed else None
    for name in sheet.header:
        table.add_column(name, justify="left" if name in words else "right", overflow="fold")
    for line in sheet.lines:
        table.add_row(*map(escape, line))
    return table


def markdown(sheet: Sheet) -> str:
    lines = [[cell.replace("|", "\\|") for cell in line] for line in sheet.lines]
    if sheet.named:
        lines = [[f"`{line[0]}`", *line[1:]] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [sheet.header, ["---"] * len(sheet.header), *lines])


def known(value: float | None, form: str) -> str:
    """A number in a form of `format`; nothing for None."""
    return "" if value is None else format(value, form)


def interval_words(value: float, low: float, high: float, form: str = ".1f") -> str:
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def p_words(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
