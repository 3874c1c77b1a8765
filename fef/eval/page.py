"""Saved runs side by side: a table for the terminal, and a page with paired tests for each task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from rich.table import Table

from fef.eval.outcome import Outcome, shared_rights
from fef.markdown import markdown_table
from fef.paired import discordant, mcnemar

__all__ = ["PAIR_COLUMNS", "comparison_page", "outcomes_table", "pairs_of", "pairs_table", "tasks_of"]

COLUMNS = (
    *("method", "model", "problems", "right % (95 %)", "passes", "tokens/pass", "tokens/s", "unfinished", "law"),
    "where",
)
PAIR_COLUMNS = ("first", "second", "shared problems", "right %", "only first", "only second", "p")
HOW_TO_READ = """\
- *right %*: problems answered correctly, with Wilson's 95 % interval. *unfinished*: answers that filled the canvas.
- *passes*: forward passes a problem, of any kind: those over the context, of drafts and of verification.
- *tokens/pass*: tokens of the answers up to and with the end token, over passes.
- *tokens/s*: the same tokens over the seconds of decoding, with all problems in the engine at once.
- *law*: the kind of the certificate: greedy and chain are exact, process and bound as stated, none is a heuristic; `-` stands
  for decoding outside of fef.
- Pairs are compared on the problems that both runs answered, by McNemar's exact test: *only first* are the problems that the
  first has right and the second has not. A small *p* says that the two are not equally accurate. It is not corrected for the
  number of pairs."""


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
        f"{found.tokens_per_second:,.0f}",
        str(found.unfinished),
        "-" if outcome.certificate is None else str(outcome.certificate["kind"]),
        ", ".join(filter(None, (where, environment.get("dtype")))),
    )


def pair_cells(first: Outcome, second: Outcome) -> tuple[str, ...]:
    """Two runs over the same file in the words of `PAIR_COLUMNS`. Raises OptionError for runs over different ones."""
    rights = shared_rights(first, second)
    count = len(rights[0])
    only_first, only_second = discordant(*rights)
    p = mcnemar(only_first, only_second)
    return (
        first.label,
        second.label,
        str(count),
        " and ".join(f"{100 * sum(right) / count:.1f}" for right in rights),
        str(only_first),
        str(only_second),
        f"{p:.3f}" if p >= 0.001 else f"{p:.0e}",
    )


def outcomes_table(outcomes: Sequence[Outcome]) -> Table:
    return table(("task", *COLUMNS), [(outcome.task, *cells(outcome)) for outcome in outcomes])


def pairs_table(outcomes: Sequence[Outcome]) -> Table:
    """Every pair of one task. Raises as `pair_cells`."""
    lines = [(task, *cells_) for task in tasks_of(outcomes) for cells_ in pairs_of(outcomes, task)]
    return table(("task", *PAIR_COLUMNS), lines)


def table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    made = Table(header_style="bold")
    for name in columns:
        made.add_column(name, overflow="fold")
    for line in lines:
        made.add_row(*line)
    return made


def comparison_page(title: str, outcomes: Sequence[Outcome], remarks: str = "") -> str:
    """The page as Markdown. remarks: what the author makes of the results; the one part that is not computed. Raises as
    `pair_cells`."""
    parts = [f"# {title}", "Made by `fef compare` from saved runs; only the remarks are written by hand."]
    if remarks.strip():
        parts += ["## Remarks", remarks.strip()]
    for task in tasks_of(outcomes):
        of_task = [outcome for outcome in outcomes if outcome.task == task]
        parts += [f"## {task}", settings_line(of_task), markdown_table(COLUMNS, [cells(one) for one in of_task])]
        if pairs := pairs_of(outcomes, task):
            parts += [f"### Pairs on {task}", markdown_table(PAIR_COLUMNS, pairs)]
    return "\n\n".join([*parts, "## How to read this", HOW_TO_READ]) + "\n"


def tasks_of(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(outcome.task for outcome in outcomes))


def pairs_of(outcomes: Sequence[Outcome], task: str) -> list[tuple[str, ...]]:
    return [pair_cells(*pair) for pair in combinations((o for o in outcomes if o.task == task), 2)]


def settings_line(outcomes: Sequence[Outcome]) -> str:
    """The settings that all runs of a task share."""
    names = {"max_new_tokens": "canvas", "temperature": "temperature", "shots": "shots", "seed": "seed"}
    values = {
        name: {str(outcome.identity[name]) for outcome in outcomes if outcome.identity.get(name) is not None}
        for name in names
    }
    words = [f"{names[name]} {' or '.join(sorted(found))}" for name, found in values.items() if found]
    return f"Settings: {', '.join(words)}." if words else "No settings are known."
