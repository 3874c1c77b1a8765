"""`fef compare`: saved runs of `fef eval` side by side, with paired tests."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.output import print_json, print_sheet

__all__ = ["EXAMPLE", "compare"]

EXAMPLE = (
    "Example: [bold]fef compare fef.json low-confidence.json[/bold]\n\nA page of them: [bold]fef report --help[/bold]"
)


def compare(
    results: Annotated[list[Path], typer.Argument(help="What `fef eval --save` wrote, of any tasks.")],
    against: Annotated[
        str | None, typer.Option("--against", help="Pairs with this run only, by its label; by default every two.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Hold saved runs against each other: figures, and McNemar's exact test for every pair over the same problems."""
    from fef.eval.outcome import pairs_of, read_outcome
    from fef.eval.page import outcomes_sheet, pairs_sheet

    outcomes = [read_outcome(path) for path in results]
    pairs = pairs_of(outcomes, against)
    if json:
        print_json({"runs": list(map(asdict, outcomes)), "pairs": list(map(asdict, pairs))})
        return
    print_sheet(outcomes_sheet(outcomes))
    if pairs:
        print_sheet(pairs_sheet(pairs))
