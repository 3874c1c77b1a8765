"""Results of methods in words: a table for the terminal, and the page of their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fef.bench.evaluate import Result
from fef.bench.summary import Row, with_all_families
from fef.errors import InputError
from fef.eval.outcome import Outcome, outcome_of
from fef.eval.page import page_of
from fef.eval.pairs import Pair, pair_of
from fef.measure.page import device_words, introduction, version_words
from fef.measure.record import Failure, Record
from fef.measure.table import Sheet, interval_words, known, sheet_of

__all__ = ["methods_page", "pairs_on", "rows_sheet"]

BELOW = "<"
"""Marks a measured speed-up in passes that falls below the predicted one: windows are cut where a text ends."""


def rows_sheet(rows: Sequence[Row], failures: Sequence[Failure]) -> Sheet:
    """A section per family: the methods that ran, then those that the model cannot run, with the reason."""
    lines: list[list[str]] = []
    sections = []
    for family in dict.fromkeys([row.family for row in rows] + [failure.task[0] for failure in failures]):
        found = [*sheet_of([row for row in rows if row.family == family], COLUMNS).lines]
        for failure in (failure for failure in failures if failure.task[0] == family):
            found.append([failure.task[1], "not run", *[""] * (len(COLUMNS) - 3), failure.reason])
        lines += [[family if first == 0 else "", *line] for first, line in enumerate(found)]
        sections.append(len(lines) - 1)
    caption = "Costs are per problem; (0.50x): half of what sequential takes."
    if any(row.below_prediction for row in rows):
        caption += f" {BELOW}: the measured speed-up in passes falls below the predicted one."
    return Sheet(("family", *COLUMNS), lines, "", caption, ("family", "method", "law"), sections=sections)


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
    "method": lambda row: row.method,
    "right, % (95 %)": lambda row: interval_words(row.found.accuracy, row.found.low, row.found.high),
    "to sequential (95 %)": lambda row: interval_words(*row.difference, "+.1f") if row.difference else "",
    "passes": lambda row: cost(row, "calls", 1),
    "tokens/pass": lambda row: f"{row.found.tokens_per_call:.2f}",
    "rows": lambda row: cost(row, "rows", 1),
    "token-forwards": lambda row: cost(row, "token_forwards", 0),
    "seconds": lambda row: cost(row, "seconds", 3),
    "speed-up in passes, predicted": pass_speedup_words,
    "speed-up in time": lambda row: known(row.time_speedup, ".2f"),
    "law": lambda row: row.certificate,
}


def methods_page(name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, bytes | None]:
    """A `PageMaker`, of one record. The picture is that of all families together, or of the only one, if methods are many."""
    if len(records) > 1:
        raise InputError(f"{name}.md is to be made of {len(records)} files, and a page of methods has one; give one.")
    [record] = records.values()
    runs = runs_of(record)
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


def setup_lines(setup: Mapping[str, Any]) -> Iterator[str]:
    settings, environment = setup["settings"], setup["environment"]
    timing = "one problem at a time after a warm-up" if setup["time_each"] else f"{settings['batch_size']} at a time"
    format_words = f", rounded to {setup['weight_format']}" if setup["weight_format"] else ""
    yield (
        f"Problems: {setup['problems']} held-out ones per family, drawn with seed {settings['seed']}, {timing}, top-p "
        f"{settings['top_p']}."
    )
    yield (
        f"Weights: `{setup['weights']}` (digest){format_words}. Versions: {version_words(environment)}. Device: "
        f"{device_words(environment)}."
    )
