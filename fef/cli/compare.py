"""`fef compare`: saved runs of `fef eval` side by side, with paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.options import decode_text, read_file
from fef.cli.output import check_writable, print_json, print_table, write_whole
from fef.errors import OptionError

if TYPE_CHECKING:
    from fef.eval.outcome import Outcome

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
    from fef.eval.page import comparison_page, outcomes_table, pairs_table
    from fef.eval.pairs import pairs_of
    from fef.eval.remarks import filled

    for path in (out, plot):
        if path is not None:
            check_writable(path)
    remarks = "" if notes is None else decode_text(read_file(notes), str(notes))
    outcomes = [read_outcome(path) for path in results]
    remarks = filled(remarks, {path.stem: outcome for path, outcome in zip(results, outcomes, strict=True)})
    if plot is not None:
        write_whole(plot, picture(title, outcomes))
    if out is not None:
        write_whole(out, comparison_page(title, outcomes, remarks, against))
    pairs = pairs_of(outcomes, against)
    if json:
        print_json({"runs": list(map(asdict, outcomes)), "pairs": list(map(asdict, pairs))})
        return
    print_table(outcomes_table(outcomes))
    if pairs:
        print_table(pairs_table(pairs))


@dataclass(frozen=True)
class Run:
    """A saved run as it is plotted."""

    method: str
    accuracy: float
    low: float
    high: float
    certificate: str


def picture(title: str, outcomes: Sequence[Outcome]) -> bytes:
    """Accuracy against passes. Raises OptionError without matplotlib, and for runs of several tasks."""
    from fef.bench.plot import check_plotting, passes_picture

    check_plotting()
    tasks = {outcome.task for outcome in outcomes}
    if len(tasks) > 1:
        raise OptionError(f"--plot holds runs of one task against each other; these are of {', '.join(sorted(tasks))}.")
    known = [(outcome, outcome.certificate) for outcome in outcomes if outcome.certificate is not None]
    if not known:
        raise OptionError("--plot shows runs that fef decoded; there are none among these.")
    runs = [
        Run(o.label, o.summary.accuracy, o.summary.low, o.summary.high, str(certificate["kind"]))
        for o, certificate in known
    ]
    passes = [outcome.summary.calls / outcome.summary.problems for outcome, _ in known]
    return passes_picture(title, runs, passes)
