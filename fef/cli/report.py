"""`fef report`: the results page of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fef.cli.bench import write_pictures
from fef.cli.bench_engine import write_engine_page
from fef.cli.options import decode_text, read_file
from fef.cli.output import Bar, check_writable, write_whole

__all__ = ["EXAMPLE", "report"]

EXAMPLE = "Example: [bold]fef report results.json --out docs/results/demo.md[/bold]"


def report(
    results: Annotated[Path, typer.Argument(help="What `fef bench --json` wrote.")],
    out: Annotated[
        Path, typer.Option("--out", help="The page; its picture is written beside it, and of methods a CSV table.")
    ],
    notes: Annotated[
        Path | None, typer.Option("--notes", help="A text that the page quotes: what you make of the results.")
    ] = None,
) -> None:
    """Write the results of `fef bench`, also with --engine, as a Markdown page with plots."""
    check_writable(out)
    remarks = "" if notes is None else decode_text(read_file(notes), str(notes))
    with Bar("Loading"):
        from fef.bench.engine.run import ENGINE_KIND
        from fef.bench.page import methods_page, rows_csv, together
        from fef.bench.run import METHODS_KIND
        from fef.bench.summary import rows_of
        from fef.measure.plot import check_plotting
        from fef.measure.record import kind_in, read_record
    check_plotting()
    if kind_in(results) == ENGINE_KIND.name:
        write_engine_page(out, read_record(results, ENGINE_KIND), remarks)
        return
    record = read_record(results, METHODS_KIND)
    rows = rows_of(record)
    write_pictures(out.with_suffix(""), together(rows))
    write_whole(out.with_suffix(".csv"), rows_csv(rows, record.failures))
    write_whole(out, methods_page(record, rows, out.stem, remarks))
