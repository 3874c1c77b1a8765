"""The engine's benchmark in words: tables for the terminal and the page, and a picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fef.bench.engine.passes import ROUND, PassRow
from fef.bench.engine.profile import ProfileRow
from fef.bench.engine.serving import ENGINE, LOOP, Served
from fef.bench.engine.summary import MARGIN, OneToken, fastest, one_token, our_row
from fef.measure.page import device_words, introduction, results_page, version_words
from fef.measure.plot import Line, Panel, lines_figure, png_bytes
from fef.measure.record import Record
from fef.measure.table import Sheet, known, markdown, sheet_of

__all__ = ["engine_page", "engine_picture", "kernel_name", "sheets"]

WORDS = ("method", "pass", "computed in", "kernel", "part", "reason")  # columns

HOW_TO_READ = f"""\
- *ms*: the median, between events around the replay of the CUDA graph of a pass; on a CPU, by the clock around it. Every row
  is live, in the middle of its answer, and has a full window.
- *context*: the pass over the canvas that a request begins with, of as many requests as the engine admits at once. *round*:
  verifies a window of drafts and drafts the next one. *full*: a plain pass over whole canvases, what a decoder of one token a
  pass pays for each; in plain torch or in the engine's kernels, whichever is faster, without drawing or committing.
- *GB read*: what must be read, once each: the weights of all blocks and of the head (a quantized one in its own size, with
  scales), and in a round the keys and values of the canvas of every row. *share of copy bandwidth*: reading that, over
  the time of the pass, against a large copy on the device in the same run (bytes read and written). A network that fits into
  the cache of the chip can exceed 100 %; a pass of many tokens is bound by arithmetic, and its share says nothing.
- *engine*: all problems submitted at once; seconds of the whole, on the clock of the host. *{LOOP}*: `Model.generate` in
  batches. *tokens/s*: tokens of the answers up to and including the end token. *passes*: of any kind, per problem.
- *tokens/round*: of rounds of the engine, per request that goes on behind them, drafts that hold and one more: as predicted
  before each round, when its shape was chosen, and as they came.
- *first token*: median time from submission to the first committed token, of a full batch that arrives at once.
- *idealised*: a decoder of the loop with a full batch in every pass, where a pass takes what the full pass with the head at
  one slot takes as a bare graph, a pass of fewer tokens (a cache) its share of that by tokens, but no less than the
  weights take to be read at copy bandwidth; nothing is drawn, chosen, committed or copied. That favours the decoder: the
  engine's time is that on the wall.
- *peak GB*: of tensors on a GPU; on a CPU, the most that the process ever had resident, which never falls.
"""

_ONE_TOKEN = (
    "Decoding as many tokens as the canvas has. A plain decoder pays a full pass per token, with the head at half the slots, "
    "which is the mean while the canvas fills: the measured time of one, times the tokens. *full pass / round*: tokens a "
    "second over those of that decoder for a round that commits one token; times the tokens per round, for more."
)


def engine_page(record: Record, picture: str, remarks: str = "") -> str:
    """The page as Markdown. picture: the name of its picture file, without `.png`. remarks: what the author makes of the
    results; the one part that is not computed."""
    sections = [("", f"![Tokens per second and share of bandwidth]({picture}.png)")]
    for sheet in sheets(record):
        said = f"{_ONE_TOKEN}\n\n" if sheet.title == "One token per pass" else ""
        sections.append((sheet.title, said + markdown(sheet)))
    first = [("The fastest decoder as accurate", verdicts(record))] if record.of(Served) else []
    begin = introduction([record], setup_lines(record), "batch sizes")
    return results_page(f"The engine on `{record.setup['model']}`", begin, sections, HOW_TO_READ, remarks, first)


def setup_lines(record: Record) -> Iterator[str]:
    setup, environment = record.setup, record.setup["environment"]
    rounded = f", rounded to {setup['weight_format']}" if setup["weight_format"] else ""
    weights = f"Weights: `{setup['weights']}` (digest)." if "weights" in setup else "Random weights."
    yield (
        f"Network: {setup['parameters'] / 1e6:,.0f} million parameters in {setup['dtype']}{rounded}; a pass reads "
        f"{setup['weight_bytes'] / 1e9:.3g} GB of weights. {weights}"
    )
    yield (
        f"Device: {device_words(environment)}, which copies {record.facts['bandwidth'] / 1e9:,.0f} GB/s, bytes read and "
        f"written. Versions: {version_words(environment)}."
    )
    yield f"Passes: canvas of {setup['canvas']} tokens, {setup['opened']} of them to fill; medians of {setup['repeats']}."
    if "settings" in setup:
        settings = setup["settings"]
        yield (
            f"Problems: held-out ones of {', '.join(setup['families'])}, mixed, drawn with seed {settings['seed']}; "
            f"temperature {settings['temperature']}, top-p {settings['top_p']}, {settings['max_new_tokens']} tokens to fill."
        )
    if lengths := record.facts["lengths"]:
        yield f"Median lengths: prompts of {lengths['prompt']:g} tokens, answers of {lengths['answer']:g}."


def verdicts(record: Record) -> str:
    words = f"Among decoders at most {MARGIN:g} point of accuracy below `fef` in the engine, the idealised ones too:"
    return words + "\n\n" + "\n".join(verdict(record, batch) for batch in record.setup["batches"])


def verdict(record: Record, batch: int) -> str:
    ours, best = our_row(record, batch), fastest(record, batch)
    if ours is None:
        return f"- batch {batch}: `fef` was not measured in the engine."
    if best is None:
        return f"- batch {batch}: `fef` in the engine, {ours.rate:,.0f} tokens/s; no other one is as accurate."
    run = f"{best.rate:,.0f} tokens/s (`fef` is {ours.rate / best.rate:.1f} times as fast)"
    if best.ideal_rate is not None:
        run += f", idealised {best.ideal_rate:,.0f} ({ours.rate / best.ideal_rate:.2f} times)"
    return (
        f"- batch {batch}: `fef` in the engine, {ours.rate:,.0f} tokens/s; the fastest other is `{best.name}`, {run}."
    )


# --- tables ---


def sheets(record: Record) -> Iterator[Sheet]:
    """The tables that the record has something for."""
    yield passes_sheet(record)
    if record.of(Served):
        yield serving_sheet(record)
        yield ratios_sheet(record)
    elif one_token(record):
        yield one_token_sheet(record)
    for batch in dict.fromkeys(row.batch for row in record.of(ProfileRow)):
        yield profile_sheet(record, batch)
    if record.failures:
        lines = [[f.task[0].removeprefix("batch "), f.task[1], f.reason] for f in record.failures]
        yield Sheet(["batch", "part", "reason"], lines, "Not measured", words=WORDS)


def passes_sheet(record: Record) -> Sheet:
    columns: dict[str, Callable[[PassRow], str]] = {
        "batch": lambda row: str(row.batch),
        "pass": lambda row: row.name,
        "rows": lambda row: str(row.rows),
        "tokens per row": lambda row: str(row.tokens),
        "ms": lambda row: milliseconds(row.seconds),
        "GB read": lambda row: f"{row.bytes_read / 1e9:.3g}",
        "share of copy bandwidth": lambda row: f"{100 * row.share:.0f} %",
        "computed in": lambda row: row.how,
    }
    return sheet_of(record.of(PassRow), columns, "Passes", words=WORDS)


def serving_sheet(record: Record) -> Sheet:
    columns: dict[str, Callable[[Served], str]] = {
        "batch": lambda row: str(row.batch),
        "method": lambda row: row.name,
        "problems": lambda row: str(row.problems),
        "right, %": lambda row: f"{row.accuracy:.1f}",
        "tokens/s": lambda row: f"{row.rate:,.0f}",
        "idealised": lambda row: known(row.ideal_rate, ",.0f"),
        "passes": lambda row: f"{row.passes / row.problems:.1f}",
        "tokens/pass": lambda row: f"{row.tokens / row.passes:.2f}",
        "tokens/round, predicted": lambda row: known(row.predicted, ".2f"),
        "real": lambda row: known(row.real, ".2f"),
        "first token, ms": lambda row: "" if row.first_token is None else milliseconds(row.first_token),
        "peak GB": lambda row: "" if row.memory is None else f"{row.memory / 1e9:.2f}",
    }
    return sheet_of(record.of(Served), columns, "Answers", words=WORDS)


def ratios_sheet(record: Record) -> Sheet:
    """Tokens per second of `fef` in the engine over those of each other decoder."""
    batches = [batch for batch in record.setup["batches"] if our_row(record, batch) is not None]
    by_name: dict[str, dict[int, Served]] = {}
    for row in record.of(Served):
        by_name.setdefault(row.name, {})[row.batch] = row
    lines = []
    for name, rows in by_name.items():
        if any(row == our_row(record, row.batch) for row in rows.values()):
            continue
        cells = []
        for batch in batches:
            ours = our_row(record, batch)
            assert ours is not None, "only such batches are kept"
            cells.append(ratio_words(ours, rows[batch]) if batch in rows else "not measured")
        lines.append([name, *cells])
    return Sheet(["method", *(f"batch {batch}" for batch in batches)], lines, "Times as fast", words=WORDS)


def ratio_words(ours: Served, other: Served) -> str:
    words = f"{ours.rate / other.rate:.1f}"
    return words if other.ideal_rate is None else f"{words}, idealised {ours.rate / other.ideal_rate:.2f}"


def one_token_sheet(record: Record) -> Sheet:
    found = one_token(record)
    columns: dict[str, Callable[[OneToken], str]] = {
        "batch": lambda row: str(row.batch),
        f"{found[0].tokens} full passes, s": lambda row: f"{row.full:.2f}",
        f"{found[0].tokens} one-token rounds, s": lambda row: f"{row.rounds:.2f}",
        "widest round, ms": lambda row: milliseconds(row.round),
        "full pass / round": lambda row: f"{row.gain:.2f}",
    }
    return sheet_of(found, columns, "One token per pass", words=WORDS)


def profile_sheet(record: Record, batch: int) -> Sheet:
    rows = [row for row in record.of(ProfileRow) if row.batch == batch]
    columns: dict[str, Callable[[ProfileRow], str]] = {
        "kernel": lambda row: kernel_name(row.name),
        "microseconds": lambda row: f"{row.microseconds:,.1f}",
        "launches": lambda row: f"{row.count:g}",
        "share": lambda row: f"{100 * row.share:.1f} %",
    }
    return sheet_of(rows, columns, f"Round of window {rows[0].window} at batch {batch}", words=WORDS)


def milliseconds(seconds: float) -> str:
    """Three digits, or all of them before the point."""
    value = 1e3 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def kernel_name(name: str) -> str:
    """Without the types of C++, which can take a page: `at::native::copy` of `void at::native::copy<...>(...)`."""
    short = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    while (shorter := re.sub(r"<[^<>]*>|\([^()]*\)", "", short)) != short:
        short = shorter
    return short.partition("<")[0].partition("(")[0].strip() or name


# --- a picture ---


def engine_picture(record: Record) -> bytes:
    """A PNG: tokens per second against the batch size, and the share of bandwidth by kind of pass."""
    environment: Mapping[str, Any] = record.setup["environment"]
    title = f"{record.setup['model']}, {environment.get('gpu', environment['cpu'])}"
    rates = rates_panel(record) if record.of(Served) else unit_rates_panel(record)
    return png_bytes(lines_figure(title, [rates, shares_panel(record)], record.setup["batches"]))


def rates_panel(record: Record) -> Panel:
    """Lines for the engine; for the loop a filled point as it runs and an open one idealised."""
    lines = []
    for look, name in enumerate(dict.fromkeys(row.name for row in record.of(Served))):
        rows = [row for row in record.of(Served) if row.name == name]
        style = "-" if rows[0].where == ENGINE else ""
        lines.append(Line(name, [(row.batch, row.rate) for row in rows], style, look))
        if ideal := [(row.batch, row.ideal_rate) for row in rows if row.ideal_rate is not None]:
            lines.append(Line(f"{name}, idealised", ideal, "", look, filled=False))
    return Panel("tokens per second", lines, log=True)


def unit_rates_panel(record: Record) -> Panel:
    """Without problems: passes of the whole batch per second, times its rows."""
    found = one_token(record)
    lines = [
        ("one full pass per token", [(row.batch, row.batch * row.tokens / row.full) for row in found]),
        ("one-token rounds", [(row.batch, row.batch * row.tokens / row.rounds) for row in found]),
        ("widest rounds (times the tokens per round)", [(row.batch, row.batch / row.round) for row in found]),
    ]
    every = [Line(name, points, look=look) for look, (name, points) in enumerate(lines) if points]
    return Panel("tokens per second at one token per pass", every, log=True)


def shares_panel(record: Record) -> Panel:
    lines = []
    for look, name in enumerate(dict.fromkeys(row.name for row in record.of(PassRow))):
        rows = [row for row in record.of(PassRow) if row.name == name]
        style = "-" if rows[0].kind == ROUND else ":"
        lines.append(Line(name, [(row.batch, 100 * row.share) for row in rows], style, look))
    return Panel("share of copy bandwidth, %", lines)
