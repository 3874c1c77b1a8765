"""`fef report`: pages of results out of their records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from fef.cli.output import Bar
from fef.errors import InputError, OptionError
from fef.files import check_makeable, check_writable, write_whole
from fef.readers import decode_text, read_file

if TYPE_CHECKING:
    from fef.measure.page import PageMaker
    from fef.measure.record import RecordKind

__all__ = ["EXAMPLE", "report"]

EXAMPLE = (
    "Example: [bold]fef report results.json --out page.md[/bold]"
    "\n\nExample: [bold]fef report runs/gsm8k-*.json --out gsm8k.md --notes remarks.md[/bold]"
    "\n\nExample: [bold]fef report results --out docs/results[/bold]"
)


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="What `fef bench --json`, `fef eval --save`, fef.eval.likelihood, fef.bench.engine.drafts or a program in "
            "`benchmarks/` wrote, several files of one kind for one page; or a folder of such files and of folders, whose "
            "files share a page."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The page, beside it the picture if it has one; of a folder, the folder of pages, which is made if need be.",
        ),
    ],
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes",
            help="A text that the page quotes: what you make of the results, of saved runs with their figures: [\\[fef]], "
            "[\\[fef vs low2]], [\\[fef > low2]]. Of a folder: PAGE-remarks.md beside the page.",
        ),
    ] = None,
) -> None:
    """Write results as Markdown pages with plots: one page, or all those of a folder of records."""
    folders = [path for path in results if path.is_dir()]
    if not folders:
        check_writable(out, *results, notes)
        write([page_of(results, out, notes)], *results, notes)
        return
    if len(results) > 1:
        raise OptionError(
            f"{folders[0]} is a folder, of which each part is a page; give it alone, or files of one page."
        )
    if notes is not None:
        raise OptionError("--notes is for one page; of a folder of results, put PAGE-remarks.md beside each page.")
    check_makeable(out / "page.md")
    parts = sorted(path for path in folders[0].iterdir() if path.is_dir() or path.suffix == ".json")
    if not parts:
        raise InputError(f"{folders[0]} holds no result; give a folder of JSON files, or of folders of them.")
    pages, every = [], []
    for found in parts:
        files = sorted(found.glob("*.json")) if found.is_dir() else [found]
        name = found.name if found.is_dir() else found.stem
        own = out / f"{name}-remarks.md"
        pages.append(page_of(files, out / f"{name}.md", own if own.is_file() else None))
        every += [*files, own]
    write(pages, *every)
    for page in pages:
        typer.echo(f"Wrote {page.path}.")


class Page(NamedTuple):
    """What is written of it, beside it the picture."""

    path: Path
    text: str
    picture: bytes | None


def write(pages: Sequence[Page], *read: Path | None) -> None:
    """All of them, or none where one cannot be written or would be written over one of these files or over another page."""
    files: dict[Path, str | bytes] = {}
    for page in pages:
        for path, content in ((page.path.with_suffix(".png"), page.picture), (page.path, page.text)):
            if content is None:
                continue
            if path in files:
                raise InputError(f"{path} would be written twice; give the page, or one of the results, another name.")
            files[path] = content
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_writable(path, *read)
    for path, content in files.items():
        write_whole(path, content)


def page_of(files: Sequence[Path], out: Path, remarks: Path | None) -> Page:
    """The page of these files, which are of one kind, and its picture if it has one. Raises InputError."""
    with Bar("Loading"):
        from fef.measure.record import read_record
    makers = page_makers()
    kinds = [kind for kind, _ in makers.values()]
    records = {path.stem: read_record(path, *kinds) for path in files}
    if len(records) < len(files):
        raise InputError(f"{out.name} is to be made of several files of one name; give each a name of its own.")
    found = {record.kind.name for record in records.values()}
    if len(found) != 1:
        given = " and ".join(sorted(found)) or "no result"
        raise InputError(f"{out.name} is to be made of {given}; give results of one kind.")
    _, make = makers[found.pop()]
    said = "" if remarks is None else decode_text(read_file(remarks), str(remarks))
    return Page(out, *make(out.stem, records, said))


def page_makers() -> dict[str, tuple[RecordKind, PageMaker]]:
    """What makes a page of records of each kind: of its name, of records by the names of their files, and of remarks."""
    from fef.bench.engine.page import engine_page
    from fef.bench.engine.rows import ENGINE_KIND
    from fef.bench.page import methods_page
    from fef.bench.run import METHODS_KIND
    from fef.eval.likelihood import LIKELIHOOD_KIND, likelihood_page
    from fef.eval.outcome import EVAL_KIND
    from fef.eval.page import runs_page

    found = [(METHODS_KIND, methods_page), (ENGINE_KIND, engine_page), (EVAL_KIND, runs_page)]
    return {kind.name: (kind, make) for kind, make in [*found, (LIKELIHOOD_KIND, likelihood_page)]}
