"""Results of methods in words: a table for the terminal, a CSV file, and a page with a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from fef.bench.summary import Row
from fef.measure.page import device_words, introduction, results_page, version_words
from fef.measure.plot import costs_figure, png_bytes
from fef.measure.record import Failure, Record
from fef.measure.table import Sheet, csv_text, interval_words, known, markdown, sheet_of

__all__ = [
    "MARGIN",
    "equally_accurate",
    "family_pictures",
    "fewest_passes",
    "methods_page",
    "rows_csv",
    "rows_sheet",
    "together",
]

MARGIN = 0.5
"""Points of accuracy below `sequential` up to which a method counts as equally accurate."""

BELOW = "<"
"""Marks a measured speed-up in passes that falls below the predicted one."""

HOW_TO_READ = f"""\
- *right*: problems answered correctly, with Wilson's 95 % interval, which has a width also where all are right.
- *to sequential*: points of accuracy above or below `sequential` on the same problems, with the paired bootstrap 95 %
  interval. An interval that holds 0 is no evidence of a difference.
- *passes*: forward passes of any kind per problem (context, draft, verify); *rows*: sequences in them; *token-forwards*:
  tokens in those sequences. A pass of many rows costs a GPU little and a CPU much. In brackets: the multiple of `sequential`.
- *tokens/pass*: tokens of the answers up to and including the end token, over passes.
- *seconds*: decoding alone, per problem.
- *speed-up in passes*: over one token per pass; behind it, for methods that draft, what the closed form predicts from
  the measured acceptance of each slot of a full window. {BELOW} marks where the measured one falls below: windows are cut
  where a text ends.
- *speed-up in time*: seconds of `sequential` over those of the method, as measured here. A pass of a drafting method may take
  longer, so it can be below 1 where the one in passes is far above.
- *law*: the kind of the certificate; `fef certify METHOD` gives its law and reasons.
- In the picture a point up and to the left is better; the grey line joins the methods that no other beats in both.
"""


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


def cost(total: float, row: Row, ratio: float | None, digits: int) -> str:
    """Per problem; behind it, where `sequential` was run, its multiple of that."""
    return f"{total / row.problems:,.{digits}f}" + ("" if ratio is None else f" ({ratio:.2f}x)")


def difference_words(row: Row) -> str:
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return ""
    return interval_words(row.difference, row.difference_low, row.difference_high, "+.1f")


def pass_speedup_words(row: Row) -> str:
    if row.predicted_pass_speedup is None:
        return f"{row.pass_speedup:.2f}"
    mark = f" {BELOW}" if row.below_prediction else ""
    return f"{row.pass_speedup:.2f}{mark}, {row.predicted_pass_speedup:.2f}"


COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "method": lambda row: row.method,
    "right, % (95 %)": lambda row: interval_words(row.accuracy, row.low, row.high),
    "to sequential (95 %)": difference_words,
    "passes": lambda row: cost(row.calls, row, row.calls_ratio, 1),
    "tokens/pass": lambda row: f"{row.tokens_per_call:.2f}",
    "rows": lambda row: cost(row.rows, row, row.rows_ratio, 1),
    "token-forwards": lambda row: cost(row.token_forwards, row, row.token_forwards_ratio, 0),
    "seconds": lambda row: cost(row.seconds, row, row.seconds_ratio, 3),
    "speed-up in passes, predicted": pass_speedup_words,
    "speed-up in time": lambda row: known(row.time_speedup, ".2f"),
    "law": lambda row: row.certificate,
}


def rows_csv(rows: Sequence[Row], failures: Sequence[Failure]) -> str:
    """The rows as CSV text; a method that was not run has a `reason` and no numbers."""
    refused = [{"family": f.task[0], "method": f.task[1], "reason": f.reason} for f in failures]
    return csv_text([*(field.name for field in fields(Row)), "reason"], [*map(asdict, rows), *refused])


def together(rows: Sequence[Row]) -> list[Row]:
    """The rows that a page has a picture of: of all families together, which are the last ones, or of the only family."""
    return [row for row in rows if row.family == rows[-1].family]


def family_pictures(rows: Sequence[Row]) -> dict[str, bytes]:
    """PNG files by name, `joint.png` for the family `joint`. The same rows give the same bytes."""
    pictures = {}
    for family in dict.fromkeys(row.family for row in rows):
        found = [row for row in rows if row.family == family]
        costs = {
            "forward passes per problem": [row.calls / row.problems for row in found],
            "seconds per problem": [row.seconds / row.problems for row in found],
        }
        title = f"{family}: {found[0].problems} problems, Wilson's 95 % intervals"
        pictures[f"{picture_stem(family)}.png"] = png_bytes(costs_figure(title, found, costs, "problems right, %"))
    return pictures


def picture_stem(family: str) -> str:
    """A family's name as a part of a file's name."""
    return family.replace(" ", "-")


def equally_accurate(rows: Sequence[Row]) -> list[Row]:
    """The rows at most `MARGIN` points below `sequential`; none where that was not run."""
    return [row for row in rows if row.difference is not None and row.difference >= -MARGIN - 1e-9]


def fewest_passes(rows: Sequence[Row]) -> list[Row]:
    """The rows of least passes, several if they tie."""
    least = min((row.calls for row in rows), default=0)
    return [row for row in rows if row.calls == least]


def methods_page(record: Record, rows: Sequence[Row], pictures: str, remarks: str = "") -> str:
    """The page as Markdown. pictures: what the name of its picture file begins with, before `-joint.png`. remarks: what
    the author makes of the results; the one part that is not computed."""
    families = list(dict.fromkeys(row.family for row in rows))
    sections = []
    for family in families:
        sheet = sheet_of([row for row in rows if row.family == family], COLUMNS, named=True)
        sections.append((f"{family[0].upper()}{family[1:]}", markdown(sheet)))
    for last in families[-1:]:
        sections.append(("", f"![Accuracy against passes and seconds, {last}]({pictures}-{picture_stem(last)}.png)"))
    if record.failures:
        reasons = dict.fromkeys((failure.task[1], failure.reason) for failure in record.failures)
        sections.append(("Not run", "\n".join(f"- `{method}`: {reason}" for method, reason in reasons)))
    if record.facts["comparisons"]:
        sections.append(("The same tokens", "\n".join(map(comparison_line, record.facts["comparisons"]))))
    return results_page(
        f"Results of `{record.setup['model']}`",
        introduction([record], setup_lines(record.setup), "methods"),
        sections,
        HOW_TO_READ,
        remarks,
        [("Equal accuracy, fewest passes", verdicts(rows, families))],
    )


def setup_lines(setup: Mapping[str, Any]) -> list[str]:
    settings, environment = setup["settings"], setup["environment"]
    timing = "one problem at a time after a warm-up" if setup["time_each"] else f"{settings['batch_size']} at a time"
    weight_format = setup.get("weight_format")  # not in older records
    format_words = f", rounded to {weight_format}" if weight_format else ""
    return [
        f"Problems: {setup['problems']} held-out ones per family, drawn with seed {settings['seed']}, {timing}.",
        f"Sampling: temperature {settings['temperature']}, top-p {settings['top_p']}, canvas of "
        f"{settings['max_new_tokens']} tokens.",
        f"Weights: `{setup['weights']}` (digest){format_words}. Versions: {version_words(environment)}. Device: "
        f"{device_words(environment)}.",
    ]


def verdicts(rows: Sequence[Row], families: Sequence[str]) -> str:
    """For each method and family, whether it is as accurate as `sequential`; and which of those needs the fewest passes."""
    if all(row.difference is None for row in rows):
        return "`sequential` was not run, so there is nothing to hold the others against."
    kept = equally_accurate(rows)
    by_name = {(row.method, row.family): row for row in rows}

    def verdict(method: str, family: str) -> str:
        row = by_name.get((method, family))
        if row is None or row.difference is None:
            return "not run"
        return f"{'**yes**' if row in kept else 'no'} ({row.difference:+.1f}), {row.calls / row.problems:.1f}"

    methods = dict.fromkeys(row.method for row in rows)
    table = [[method, *(verdict(method, family) for family in families)] for method in methods]
    words = (
        f"Is the method at most {MARGIN} points of accuracy below `sequential` on the same problems (difference in points), "
        "and how many passes does it take per problem?"
    )
    lines = []
    for family in families:
        best = fewest_passes([row for row in kept if row.family == family])
        names = " and ".join(f"`{row.method}`" for row in best)
        passes = best[0].calls / best[0].problems
        lines.append(f"- {family}: the fewest passes with a yes are those of {names}, {passes:.1f} per problem.")
    return "\n\n".join([words, markdown(Sheet(["method", *families], table, named=True)), "\n".join(lines)])


def comparison_line(found: Mapping[str, Any]) -> str:
    return (
        f"- {found['family']}: `{found['first']}` and `{found['second']}` gave the same tokens on {found['same']} of "
        f"{found['problems']} problems."
    )
