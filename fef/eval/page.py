"""Saved runs side by side: a table for the terminal, and a page with paired tests for each task."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from fef.eval.outcome import Outcome
from fef.eval.pairs import Pair, pairs_of
from fef.markdown import markdown_table

__all__ = ["comparison_page", "outcomes_table", "pairs_table"]

LEVEL = 0.01
"""Of a test, below which one of two runs is called the more accurate."""

COLUMNS = (
    *("method", "model", "problems", "right % (95 %)", "passes", "tokens/pass", "tokens/s", "unfinished", "law"),
    "where",
)
PAIR_COLUMNS = ("first", "second", "shared problems", "right %", "only first", "only second", "p", "same answers")
HOW_TO_READ = """\
- *right %*: problems answered correctly, with Wilson's 95 % interval. *unfinished*: answers that filled the canvas.
- *passes*: forward passes a problem, of any kind: those over the context, of drafts and of verification.
- *tokens/pass*: tokens of the answers up to and with the end token, over passes.
- *tokens/s*: the same tokens over the seconds of decoding; *engine*: with all problems in the engine at once.
- *law*: the kind of the certificate: greedy and chain are exact, process and bound as stated, none is a heuristic; `-` stands
  for decoding outside of fef.
- Pairs are compared on the problems that both runs answered, by McNemar's exact test: *only first* are the problems that the
  first has right and the second has not. A small *p* says that the two are not equally accurate. It is not corrected for the
  number of pairs. *same answers*: problems that both answered with the same text of as many tokens."""


def cells(outcome: Outcome) -> tuple[str, ...]:
    """A run in the words of `COLUMNS`."""
    found, environment = outcome.summary, outcome.environment
    where = environment.get("gpu") or environment.get("cpu") or "-"
    return (
        outcome.label,
        str(outcome.identity.get("model") or "-"),
        str(found.problems),
        f"{found.accuracy:.1f} ({found.low:.1f} to {found.high:.1f})",
        f"{found.calls / found.problems:.1f}",
        f"{found.tokens_per_call:.2f}",
        f"{found.tokens_per_second:,.0f}" if found.seconds else "-",
        str(found.unfinished),
        "-" if outcome.certificate is None else str(outcome.certificate["kind"]),
        ", ".join(
            filter(None, (where, environment.get("dtype"), "engine" if outcome.identity.get("engine") else None))
        ),
    )


def pair_cells(pair: Pair) -> tuple[str, ...]:
    """A pair in the words of `PAIR_COLUMNS`."""
    rights = (f"{100 * right / pair.problems:.1f}" for right in (pair.first_right, pair.second_right))
    return (
        pair.first,
        pair.second,
        str(pair.problems),
        " and ".join(rights),
        str(pair.only_first),
        str(pair.only_second),
        f"{pair.p:.3f}" if pair.p >= 0.001 else f"{pair.p:.0e}",
        str(pair.same),
    )


def outcomes_table(outcomes: Sequence[Outcome]) -> Table:
    return table(("task", *COLUMNS), [(outcome.task, *cells(outcome)) for outcome in outcomes])


def pairs_table(pairs: Sequence[Pair]) -> Table:
    return table(("task", *PAIR_COLUMNS), [(pair.task, *pair_cells(pair)) for pair in pairs])


def table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    made = Table(header_style="bold")
    for name in columns:
        made.add_column(name, overflow="fold")
    for line in lines:
        made.add_row(*line)
    return made


def comparison_page(title: str, outcomes: Sequence[Outcome], remarks: str = "", against: str | None = None) -> str:
    """The page as Markdown. remarks: what the author makes of the results; the one part that is not computed. against: as in
    `pairs_of`, and raises as that."""
    parts = [f"# {title}", "Made by `fef compare` from saved runs; only the remarks are written by hand."]
    if remarks.strip():
        parts += ["## Remarks", remarks.strip()]
    pairs = pairs_of(outcomes, against)
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        runs, held = [o for o in outcomes if o.task == task], [pair for pair in pairs if pair.task == task]
        parts += [f"## {task}", settings_line(runs), markdown_table(COLUMNS, list(map(cells, runs)))]
        if held:
            parts += [f"### Pairs on {task}", markdown_table(PAIR_COLUMNS, list(map(pair_cells, held))), verdicts(held)]
    return "\n\n".join([*parts, "## How to read this", HOW_TO_READ]) + "\n"


def verdicts(pairs: Sequence[Pair]) -> str:
    """Which run is more accurate than which."""
    lines = []
    for pair in pairs:
        if pair.p < LEVEL:
            ahead = pair.only_first > pair.only_second
            better, worse = (pair.first, pair.second) if ahead else (pair.second, pair.first)
            lines.append(f"- `{better}` is more accurate than `{worse}`.")
    found = "\n".join(lines) or "- None is more accurate than another."
    return f"At p < {LEVEL}, on the problems that both answered:\n\n{found}"


def settings_line(outcomes: Sequence[Outcome]) -> str:
    """The settings that all runs of a task share."""
    names = {"max_new_tokens": "canvas", "temperature": "temperature", "shots": "shots", "seed": "seed"}
    values = {
        name: {str(outcome.identity[name]) for outcome in outcomes if outcome.identity.get(name) is not None}
        for name in names
    }
    words = [f"{names[name]} {' or '.join(sorted(found))}" for name, found in values.items() if found]
    return f"Settings: {', '.join(words)}." if words else "No settings are known."
