"""`fef methods`: what there is to decode with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from fef.cli.options import JsonOption
from fef.cli.output import Bar, print_json, print_table

if TYPE_CHECKING:
    from fef.decoders import MethodInfo

__all__ = ["EXAMPLE", "methods"]

EXAMPLE = "Example: [bold]fef methods --json[/bold]"


def methods(json: JsonOption = False) -> None:
    """List the methods: exactness, what they do, paper, options with defaults, needs."""
    with Bar("Loading"):
        from fef.decoders import methods as table_of_methods
    found = list(table_of_methods().values())
    if json:
        print_json([info.to_dict() for info in found])
    else:
        print_table(methods_table(found))


def methods_table(found: list[MethodInfo]) -> Table:
    table = Table(header_style="bold", show_lines=True)
    table.add_column("method", no_wrap=True)
    for name in ("exactness", "what it does", "paper", "options and defaults", "needs"):
        table.add_column(name, overflow="fold")
    for info in found:
        options = "\n".join(f"{name}={value}" for name, value in info.options.items())
        cells = (info.exactness, info.summary, info.paper, options, info.needs)
        table.add_row(info.name, *(escape(cell) for cell in cells))
    return table
