"""Saved runs side by side: a table for the terminal, and a page with paired tests for each task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fef.errors import InputError
from fef.eval.outcome import LEVEL, Outcome, Pair, names_of, pair_of, pairs_of, recorded
from fef.measure.page import Section, results_page
from fef.measure.plot import Plotted, costs_figure, png_bytes
from fef.measure.record import Record
from fef.measure.table import Sheet, interval_words, markdown, p_words, sheet_of

__all__ = ["filled", "outcomes_sheet", "page_of", "pairs_sheet", "runs_page"]

MANY = 8
"""Runs of a task up to which every two are compared: with more, nobody reads the table, and a picture says more."""

MISSING = "not measured"
_FIGURE = re.compile(r"\[\[(.+?)\]\]")
_WORDS = re.compile(r"(\S+)(?:\s+(vs|>)\s+(\S+))?")

HOW_TO_READ = f"""\
- *right %*: problems answered correctly, with Wilson's 95 % interval. *unfinished*: answers that filled the canvas.
- *passes*: forward passes per problem, of any kind: those over the context, of drafts and of verification.
- *tokens/pass*: tokens of the answers up to and with the end token, over passes.
- *tokens/s*: the same tokens over the seconds of decoding; *engine*: with all problems in the engine at once.
- *law*: the kind of the certificate: greedy and chain are exact, process and bound as stated, none is a heuristic; `-` stands
  for decoding outside of fef.
- Pairs are compared on the problems that both runs answered, by McNemar's exact test: *only first* are the problems that the
  first has right and the second has not. A small *p* says that the two are not equally accurate. It is not corrected for the
  number of pairs. *same answers*: problems that both answered with the same text of as many tokens.
- Of more than {MANY} runs of a task only the pairs of one are shown: the one that is more accurate
  than most others at p < {LEVEL}."""


def where(outcome: Outcome) -> str:
    found = outcome.environment
    device = found.get("gpu") or found.get("cpu") or "-"
    parts = (device, found.get("dtype"), "engine" if outcome.identity.get("engine") else None)
    return ", ".join(str(part) for part in parts if part)


COLUMNS: Mapping[str, Callable[[Outcome], str]] = {
    "method": lambda run: run.label,
    "model": lambda run: str(run.identity.get("model") or "-"),
    "problems": lambda run: str(run.summary.problems),
    "right % (95 %)": lambda run: interval_words(run.summary.accuracy, run.summary.low, run.summary.high),
    "passes": lambda run: f"{run.summary.calls / run.summary.problems:.1f}",
    "tokens/pass": lambda run: f"{run.summary.tokens_per_call:.2f}",
    "tokens/s": lambda run: f"{run.summary.tokens_per_second:,.0f}" if run.summary.seconds else "-",
    "unfinished": lambda run: str(run.summary.unfinished),
    "law": lambda run: "-" if run.certificate is None else str(run.certificate["kind"]),
    "where": where,
}
PAIR_COLUMNS: Mapping[str, Callable[[Pair], str]] = {
    "first": lambda pair: pair.first,
    "second": lambda pair: pair.second,
    "shared problems": lambda pair: str(pair.problems),
    "right %": lambda pair: " and ".join(
        f"{100 * right / pair.problems:.1f}" for right in (pair.first_right, pair.second_right)
    ),
    "only first": lambda pair: str(pair.only_first),
    "only second": lambda pair: str(pair.only_second),
    "p": lambda pair: p_words(pair.p),
    "same answers": lambda pair: str(pair.same),
}


def outcomes_sheet(outcomes: Sequence[Outcome]) -> Sheet:
    return sheet_of(outcomes, {"task": lambda run: run.task, **COLUMNS}, words=None)


def pairs_sheet(pairs: Sequence[Pair]) -> Sheet:
    return sheet_of(pairs, {"task": lambda pair: pair.task, **PAIR_COLUMNS}, words=None)


def runs_page(name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, bytes | None]:
    """A `PageMaker`, of saved runs; those of one task may have a picture."""
    runs = {stem: recorded(record) for stem, record in records.items()}
    begin = "Made by `fef report` from saved runs of `fef eval`; only the remarks are written by hand."
    tasks = {outcome.task for outcome in runs.values()}
    return page_of(name, runs, begin, remarks, pictured=tasks.pop() if len(tasks) == 1 else None)


def page_of(
    name: str,
    runs: Mapping[str, Outcome],
    begin: str,
    remarks: str = "",
    *,
    pictured: str | None = None,
    more: Sequence[Section] = (),
) -> tuple[str, bytes | None]:
    """The page of runs, by their names, whose figures remarks may quote as `filled` says, and its picture: of the task
    `pictured`, if it has more than `MANY` runs that fef decoded. Of more than `MANY` runs of a task only the pairs of one are
    shown, which is more accurate than most others at p < `LEVEL`, then of most problems, accuracy and tokens per pass. more:
    sections behind those of the runs."""
    title, outcomes, sections = name.replace("-", " ").capitalize(), list(runs.values()), list[Section]()
    decoded = [outcome for outcome in outcomes if outcome.task == pictured and outcome.certificate is not None]
    picture = runs_picture(title, decoded) if len(decoded) > MANY else None
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        some = [outcome for outcome in outcomes if outcome.task == task]
        held = pairs_of(some)
        if len(some) > MANY:
            won = Counter(ahead(pair)[0] for pair in held if pair.p < LEVEL)
            ranks = {name: (won[name], *rank(run)) for name, run in zip(names_of(some), some, strict=True)}
            held = pairs_of(some, max(ranks, key=ranks.__getitem__))
        table = markdown(sheet_of(some, COLUMNS, named=True))
        shown = "" if picture is None or task != pictured else f"![Accuracy against passes]({name}.png)\n\n"
        sections.append((task, f"{settings_line(some)}\n\n{shown}{table}"))
        if held:
            table = markdown(sheet_of(held, PAIR_COLUMNS, named=True))
            sections.append(("", f"### Pairs on {task}\n\n{table}\n\n{verdicts(held)}"))
    return results_page(title, begin, [*sections, *more], HOW_TO_READ, filled(remarks, runs)), picture


def rank(run: Outcome) -> tuple[float, ...]:
    found = run.summary
    return found.problems, found.accuracy, found.tokens_per_call


def ahead(pair: Pair) -> tuple[str, str]:
    """The run that has more of the problems right, then the other."""
    return (pair.first, pair.second) if pair.only_first > pair.only_second else (pair.second, pair.first)


def verdicts(pairs: Sequence[Pair]) -> str:
    """Which run is more accurate than which."""
    better: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.p < LEVEL:
            more, less = ahead(pair)
            better.setdefault(more, []).append(f"`{less}`")
    lines = [f"- `{more}` is more accurate than {', '.join(less)}." for more, less in better.items()]
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


def short_labels(labels: Sequence[str]) -> list[str]:
    """Labels without the options that all runs of the same method share."""
    parts = [
        (method, options.split(",") if options else []) for method, _, options in (x.partition(":") for x in labels)
    ]
    shared = {method: set.intersection(*(set(o) for m, o in parts if m == method)) for method, _ in parts}
    kept = [(method, [each for each in options if each not in shared[method]]) for method, options in parts]
    return [method + (":" + ",".join(options) if options else "") for method, options in kept]


def runs_picture(title: str, outcomes: Sequence[Outcome]) -> bytes:
    """A PNG of accuracy against passes, of runs of one task that fef decoded."""
    known = [(o.summary, str(o.certificate["kind"])) for o in outcomes if o.certificate is not None]
    names = short_labels([outcome.label for outcome in outcomes])
    runs = [
        Plotted(name, found.calls / found.problems, found.accuracy, found.low, found.high, kind)
        for name, (found, kind) in zip(names, known, strict=True)
    ]
    accuracy = "problems right, %, with Wilson's 95 % intervals"
    return png_bytes(costs_figure(title, runs, "forward passes per problem", accuracy))


def filled(text: str, runs: Mapping[str, Outcome]) -> str:
    """Remarks with figures: `[[run]]`, `[[run vs other]]` and `[[run > other]]` become what the saved runs say. What was not
    measured is said to be so, so that a text can be written before. runs: by name. Raises InputError for a mark that is none
    of the three."""

    def figure(found: re.Match[str]) -> str:
        words = _WORDS.fullmatch(found[1].strip())
        if words is None:
            raise InputError(f"{found[0]} is no figure; write [[run]], [[run vs other]] or [[run > other]].")
        if any(name is not None and name not in runs for name in words.group(1, 3)):
            return MISSING
        first = runs[words[1]]
        if words[2] is None:
            return alone(first)
        second = runs[words[3]]
        return against(first, second) if words[2] == "vs" else winner_words(pair_of(first, second))

    return _FIGURE.sub(figure, text)


def alone(run: Outcome) -> str:
    found = run.summary
    return (
        f"{found.accuracy:.1f} % ({found.low:.1f} to {found.high:.1f}, {found.problems:,} problems) at "
        f"{found.tokens_per_call:.2f} tokens per pass"
    )


def against(first: Outcome, second: Outcome) -> str:
    pair = pair_of(first, second)
    gain = 100 * (pair.first_right - pair.second_right) / pair.problems
    ratio = first.summary.tokens_per_call / second.summary.tokens_per_call
    return (
        f"{gain:+.1f} points on {pair.problems:,} problems ({pair_words(pair)}), {ratio:.2f} times the tokens per pass"
    )


def winner_words(pair: Pair) -> str:
    if pair.p >= LEVEL:
        return f"not shown ({pair_words(pair)})"
    return f"{'yes' if pair.only_first > pair.only_second else 'no, the other way round'} ({pair_words(pair)})"


def pair_words(pair: Pair) -> str:
    return f"McNemar p = {p_words(pair.p)}, {pair.only_first} and {pair.only_second} that only one has right"
