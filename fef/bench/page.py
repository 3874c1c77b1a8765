"""The results page: a record as Markdown, with every sentence about who wins computed from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fef.bench.plot import picture_stem
from fef.bench.record import Record
from fef.bench.summary import Row
from fef.bench.table import BELOW, COLUMNS, cells
from fef.markdown import markdown_table

__all__ = ["MARGIN", "equally_accurate", "fewest_passes", "results_page"]

MARGIN = 0.5
"""Points of accuracy below `sequential` up to which a method counts as equally accurate."""

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


def equally_accurate(rows: Sequence[Row]) -> list[Row]:
    """The rows at most `MARGIN` points below `sequential`; none where that was not run."""
    return [row for row in rows if row.difference is not None and row.difference >= -MARGIN - 1e-9]


def fewest_passes(rows: Sequence[Row]) -> list[Row]:
    """The rows of least passes, several if they tie."""
    least = min((row.calls for row in rows), default=0)
    return [row for row in rows if row.calls == least]


def results_page(record: Record, pictures: str, remarks: str = "") -> str:
    """The page as Markdown. pictures: what the name of its picture file begins with, before `-joint.png`. remarks: what
    the author makes of the results; the one part that is not computed."""
    families = list(dict.fromkeys(row.family for row in record.rows))
    parts = [f"# Results of `{record.setup['model']}`", introduction(record), verdicts(record.rows, families)]
    if remarks.strip():
        parts += ["## Remarks", remarks.strip()]
    for family in families:
        parts += [
            f"## {family[0].upper()}{family[1:]}",
            markdown_table(COLUMNS, [cells(row) for row in record.rows if row.family == family]),
        ]
    for last in families[-1:]:
        parts.append(f"![Accuracy against passes and seconds, {last}]({pictures}-{picture_stem(last)}.png)")
    if record.refusals:
        reasons = dict.fromkeys((refusal.method, refusal.reason) for refusal in record.refusals)
        parts += ["## Not run", "\n".join(f"- `{method}`: {reason}" for method, reason in reasons)]
    if record.comparisons:
        parts += ["## The same tokens", "\n".join(map(comparison_line, record.comparisons))]
    parts += ["## How to read this", HOW_TO_READ.rstrip()]
    return "\n\n".join(parts) + "\n"


def introduction(record: Record) -> str:
    setup = record.setup
    settings, environment = setup["settings"], setup["environment"]
    timing = "one problem at a time after a warm-up" if setup["time_each"] else f"{settings['batch_size']} at a time"
    device = environment.get("gpu", f"{environment['cpu']}, {environment['threads']} threads")
    weight_format = setup.get("weight_format")  # not in older records
    format_words = f", rounded to {weight_format}" if weight_format else ""
    versions = ", ".join(f"{name} {environment[name]}" for name in ("fef", "torch", "python"))
    lines = [
        "Made by `fef report` from the results of this command; only the remarks are written by hand.",
        f"```\n{record.command}\n```",
        f"- Problems: {setup['problems']} held-out a family, drawn with seed {settings['seed']}, {timing}.",
        f"- Sampling: temperature {settings['temperature']}, top-p {settings['top_p']}, canvas of "
        f"{settings['max_new_tokens']} tokens.",
        f"- Weights: `{setup['weights']}` (digest){format_words}. Versions: {versions}. Device: {environment['device']} "
        f"({device}).",
    ]
    if not record.finished:
        lines.append("**Unfinished**: the run was interrupted, so methods are missing.")
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:5]) + "".join(f"\n\n{line}" for line in lines[5:])


def verdicts(rows: Sequence[Row], families: Sequence[str]) -> str:
    """For each method and family, whether it is as accurate as `sequential`; and which of those needs the fewest passes."""
    title = "## Equal accuracy, fewest passes"
    if all(row.difference is None for row in rows):
        return f"{title}\n\n`sequential` was not run, so there is nothing to hold the others against."
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
        "and how many passes does it take a problem?"
    )
    lines = []
    for family in families:
        best = fewest_passes([row for row in kept if row.family == family])
        names = " and ".join(f"`{row.method}`" for row in best)
        passes = best[0].calls / best[0].problems
        lines.append(f"- {family}: the fewest passes with a yes are those of {names}, {passes:.1f} a problem.")
    return "\n\n".join([title, words, markdown_table(["method", *families], table), "\n".join(lines)])


def comparison_line(found: Mapping[str, Any]) -> str:
    return (
        f"- {found['family']}: `{found['first']}` and `{found['second']}` gave the same tokens on {found['same']} of "
        f"{found['problems']} problems."
    )
