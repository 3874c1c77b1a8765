"""`fef report`: pages of results out of their records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.bench import write_pictures
from fef.cli.bench_engine import write_engine_page
from fef.cli.options import decode_text, read_file
from fef.cli.output import Bar, check_directory, check_writable, write_whole
from fef.errors import InputError, OptionError

__all__ = ["EXAMPLE", "report"]

EXAMPLE = (
    "Example: [bold]fef report results.json --out docs/results/demo.md[/bold]"
    "\n\nExample: [bold]fef report results --out docs/results[/bold]"
)


def report(
    results: Annotated[
        Path,
        typer.Argument(
            help="What `fef bench --json`, `fef eval --save`, fef.bench.engine.released or fef.bench.engine.drafts wrote; or "
            "a folder of such files and of folders, whose files share a page."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The page, its picture beside it, and of methods a CSV table; of a folder, the folder of pages.",
        ),
    ],
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes",
            help="A text that the page quotes: what you make of the results. Of a folder: PAGE-remarks.md beside it.",
        ),
    ] = None,
) -> None:
    """Write results as Markdown pages with plots: one page, or all those of a folder of records."""
    if not results.is_dir():
        check_writable(out)
        write_page([results], out, "" if notes is None else decode_text(read_file(notes), str(notes)))
        return
    if notes is not None:
        raise OptionError("--notes is for one page; of a folder of results, put PAGE-remarks.md beside each page.")
    check_directory(out, out)
    for found in sorted(path for path in results.iterdir() if path.is_dir() or path.suffix == ".json"):
        files = sorted(found.glob("*.json")) if found.is_dir() else [found]
        page = out / f"{found.stem}.md"
        own = page.with_name(f"{found.stem}-remarks.md")
        write_page(files, page, own.read_text("utf-8") if own.is_file() else "")
        typer.echo(f"Wrote {page}.")


def write_page(files: Sequence[Path], out: Path, remarks: str) -> None:
    """The page of these files, which are of one kind. Raises InputError."""
    with Bar("Loading"):
        from fef.bench.engine.draft_rows import DRAFTS_KIND
        from fef.bench.engine.drafts_page import drafts_page
        from fef.bench.engine.released import RELEASED_KIND, released_page
        from fef.bench.engine.run import ENGINE_KIND
        from fef.bench.page import methods_page, rows_csv, together
        from fef.bench.run import METHODS_KIND
        from fef.bench.summary import rows_of
        from fef.eval.outcome import EVAL_KIND, read_outcome
        from fef.eval.page import comparison_page, comparison_picture, pictured
        from fef.eval.remarks import filled
        from fef.measure.plot import check_plotting
        from fef.measure.record import kind_in, read_record
    kinds = {kind_in(path) for path in files}
    if len(kinds) != 1:
        raise InputError(
            f"{out.name} is to be made of {len(files)} files of {len(kinds)} kinds; give files of one kind."
        )
    kind = kinds.pop()
    if kind == EVAL_KIND.name:
        runs = {path.stem: read_outcome(path) for path in files}
        title = out.stem.replace("-", " ").capitalize()
        outcomes, plot = list(runs.values()), out.with_suffix(".png")
        shows = pictured(outcomes)
        if shows:
            check_plotting()
            write_whole(plot, comparison_picture(title, outcomes))
        write_whole(out, comparison_page(title, outcomes, filled(remarks, runs), picture=plot.name if shows else None))
    elif kind == RELEASED_KIND.name:
        write_whole(out, released_page([read_record(path, RELEASED_KIND) for path in files], remarks))
    elif kind == DRAFTS_KIND.name:
        write_whole(out, drafts_page([read_record(path, DRAFTS_KIND) for path in files], remarks))
    elif len(files) > 1:
        raise InputError(f"{out.name} is to be made of {len(files)} files, and a page of {kind} has one; give one.")
    elif kind == ENGINE_KIND.name:
        check_plotting()
        write_engine_page(out, read_record(files[0], ENGINE_KIND), remarks)
    elif kind is not None and kind != METHODS_KIND.name:
        raise InputError(f"{out.name}: no page is made of {kind}; give a file of methods, of the engine, or of eval.")
    else:
        check_plotting()
        record = read_record(files[0], METHODS_KIND)
        rows = rows_of(record)
        write_pictures(out.with_suffix(""), together(rows))
        write_whole(out.with_suffix(".csv"), rows_csv(rows, record.failures))
        write_whole(out, methods_page(record, rows, out.stem, remarks))
