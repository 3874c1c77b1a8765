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
    """A row per method, whose facts stand below each other, so that a terminal of 80 columns breaks no word."""
    table = Table("method", header_style="bold", show_lines=True)
    table.columns[0].no_wrap = True
    table.add_column("what it does, which law it has, its paper, options with defaults, what it needs", max_width=110)
    for info in found:
        options = ", ".join(f"{name}={value}" for name, value in info.options.items())
        facts = {"law": info.exactness, "paper": info.paper, "options": options, "needs": info.needs}
        lines = [info.summary, *(f"{name}: {words}" for name, words in facts.items())]
        table.add_row(info.name, escape("\n".join(lines)))
    return table
