"""`fef compare`: saved runs of `fef eval` side by side, with paired tests."""

from __future__ import annotations

from dataclasses import asdict
from os.path import relpath
from pathlib import Path, PurePath
from typing import Annotated

import typer

from fef.cli.options import decode_text, read_file
from fef.cli.output import check_writable, print_json, print_sheet, write_whole

__all__ = ["EXAMPLE", "compare"]

EXAMPLE = "Example: [bold]fef compare fef.json low-confidence.json --out docs/results/real-language.md[/bold]"


def compare(
    results: Annotated[list[Path], typer.Argument(help="What `fef eval --save` wrote, of any tasks.")],
    out: Annotated[Path | None, typer.Option("--out", help="A Markdown page with tables and tests.")] = None,
    title: Annotated[str, typer.Option("--title", help="Of the page.")] = "Results",
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes",
            help="A text that the page quotes, with figures of runs: [[fef]], [[fef vs low2]], [[fef > low2]].",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Pairs with this run only, by its label; by default every two.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="A PNG of accuracy against passes, of runs of one task.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Hold saved runs against each other: figures, and McNemar's exact test for every pair over the same problems."""
    from fef.eval.outcome import read_outcome
    from fef.eval.page import comparison_page, comparison_picture, outcomes_sheet, pairs_sheet
    from fef.eval.pairs import pairs_of
    from fef.eval.remarks import filled
    from fef.measure.plot import check_plotting

    for path in (out, plot):
        if path is not None:
            check_writable(path)
    remarks = "" if notes is None else decode_text(read_file(notes), str(notes))
    outcomes = [read_outcome(path) for path in results]
    remarks = filled(remarks, {path.stem: outcome for path, outcome in zip(results, outcomes, strict=True)})
    if plot is not None:
        check_plotting()
        write_whole(plot, comparison_picture(title, outcomes))
    if out is not None:
        picture = None if plot is None else PurePath(relpath(plot, out.parent)).as_posix()
        write_whole(out, comparison_page(title, outcomes, remarks, against, picture))
    pairs = pairs_of(outcomes, against)
    if json:
        print_json({"runs": list(map(asdict, outcomes)), "pairs": list(map(asdict, pairs))})
        return
    print_sheet(outcomes_sheet(outcomes))
    if pairs:
        print_sheet(pairs_sheet(pairs))
