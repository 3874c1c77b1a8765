"""Results of methods in words: a table for the terminal, and the page of their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from fef.bench.evaluate import Result
from fef.bench.summary import Row, with_all_families
from fef.errors import InputError
from fef.eval.outcome import Outcome, Pair, outcome_of, pair_of
from fef.eval.page import page_of
from fef.measure.page import introduction, setup_lines
from fef.measure.record import Failure, Record
from fef.measure.table import Sheet, interval_words, known

__all__ = ["methods_page", "pairs_on", "rows_sheet"]

BELOW = "<"
"""Marks a measured speed-up in passes that falls below the predicted one: windows are cut where a text ends."""


def rows_sheet(rows: Sequence[Row], failures: Sequence[Failure]) -> Sheet:
    """Family by family the methods that ran, then those that the model cannot run, with the reason."""
    lines = [[row.result.family, *(cell(row) for cell in COLUMNS.values())] for row in rows]
    blank = [""] * (len(COLUMNS) - 3)
    lines += [[failure.task[0], failure.task[1], "not run", *blank, failure.reason] for failure in failures]
    families = list(dict.fromkeys(line[0] for line in lines))
    lines.sort(key=lambda line: families.index(line[0]))
    caption = "Costs are per problem; (0.50x): half of what sequential takes."
    if any(row.below_prediction for row in rows):
        caption += f" {BELOW}: the measured speed-up in passes falls below the predicted one."
    return Sheet(("family", *COLUMNS), lines, "", caption, ("family", "method", "law"))


def cost(row: Row, counter: str, digits: int) -> str:
    """Per problem; behind it, where `sequential` was run, its multiple of that."""
    ratio = row.ratio(counter)
    each = getattr(row.found, counter) / row.found.problems
    return f"{each:,.{digits}f}" + ("" if ratio is None else f" ({ratio:.2f}x)")


def pass_speedup_words(row: Row) -> str:
    if row.predicted is None:
        return f"{row.pass_speedup:.2f}"
    mark = f" {BELOW}" if row.below_prediction else ""
    return f"{row.pass_speedup:.2f}{mark}, {row.predicted:.2f}"


COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "method": lambda row: row.result.spec.label,
    "right, % (95 %)": lambda row: interval_words(row.found.accuracy, row.found.low, row.found.high),
    "to sequential (95 %)": lambda row: interval_words(*row.difference, "+.1f") if row.difference else "",
    "passes": lambda row: cost(row, "calls", 1),
    "tokens/pass": lambda row: f"{row.found.tokens_per_call:.2f}",
    "rows": lambda row: cost(row, "rows", 1),
    "token-forwards": lambda row: cost(row, "token_forwards", 0),
    "seconds": lambda row: cost(row, "seconds", 3),
    "speed-up in passes, predicted": pass_speedup_words,
    "speed-up in time": lambda row: known(row.time_speedup, ".2f"),
    "law": lambda row: row.result.certificate.kind,
}


def methods_page(name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, bytes | None]:
    """A `PageMaker`, of one record. The picture is that of all families together, or of the only one, if methods are many."""
    if len(records) > 1:
        raise InputError(f"{name}.md is to be made of {len(records)} files, and a page of methods has one; give one.")
    [record] = records.values()
    runs = runs_of(record)
    if not runs:
        raise InputError(f"{name}.md is to be made of a run without results; go on with the run first.")
    begin = introduction([record], setup_lines(record.setup), "methods")
    refused = dict.fromkeys((failure.task[1], failure.reason) for failure in record.failures)
    more = [("Not run", "\n".join(f"- `{method}`: {reason}" for method, reason in refused))] if refused else []
    return page_of(name, runs, begin, remarks, pictured=[*runs.values()][-1].task, more=more)


def runs_of(record: Record) -> dict[str, Outcome]:
    """The results as runs, called FAMILY/METHOD; of several families also all of them together."""
    setup = record.setup
    identity = {"model": setup["model"]} | setup["settings"]
    return {
        f"{one.family}/{one.spec.label}": outcome_of(
            one.family,
            one.spec.label,
            identity,
            [replace(answer, text=answer.digest) for answer in one.answers],  # texts need not be kept
            environment=setup["environment"],
            certificate=one.certificate.to_dict(),
        )
        for one in with_all_families(record.of(Result))
    }


def pairs_on(record: Record, families: Iterable[str], first: str, second: str) -> list[Pair]:
    """Two methods on the problems of each of these families that both have answered."""
    runs = runs_of(record)
    found = [(runs.get(f"{family}/{first}"), runs.get(f"{family}/{second}")) for family in families]
    return [pair_of(a, b) for a, b in found if a is not None and b is not None]
