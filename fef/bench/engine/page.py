"""The engine's benchmark in words: tables for the terminal, and the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from fef.bench.engine.passes import PassRow
from fef.bench.engine.serving import LOOP, Served
from fef.bench.engine.summary import MARGIN, fastest, our_row
from fef.measure.page import Section, device_words, introduction, results_page, version_words
from fef.measure.record import Record
from fef.measure.table import Sheet, known, markdown, sheet_of

__all__ = ["engine_page", "sheets"]

WORDS = ("method", "pass", "computed in", "what", "part", "reason")  # columns

HOW_TO_READ = f"""\
- *ms*: the median, between events around the replay of the CUDA graph of a pass; on a CPU, by the clock around it. Every row
  is live, in the middle of its answer, and has a full window.
- *context*: the pass over the canvas that a request begins with, of as many requests as the engine admits at once. *round*:
  verifies a window of drafts and drafts the next one. *full*: a plain pass over whole canvases, what a decoder of one token
  per pass pays for each; in plain torch or in the engine's kernels, whichever is faster, without drawing or committing.
- *GB read*: what must be read, once each: the weights of all blocks and of the head (a quantized one in its own size, with
  scales), and in a round the keys and values of the canvas of every row. *share of copy bandwidth*: reading that, over
  the time of the pass, against a large copy on the device in the same run (bytes read and written). A network that fits into
  the cache of the chip can exceed 100 %; a pass of many tokens is bound by arithmetic, and its share says nothing.
- *engine*: all problems submitted at once; seconds of the whole, on the clock of the host. *{LOOP}*: `Model.generate` in
  batches. *tokens/s*: tokens of the answers up to and including the end token. *passes*: of any kind, per problem.
- *tokens/round*: of rounds of the engine, per request that goes on behind them, drafts that hold and one more: as predicted
  before each round, when its shape was chosen, and as they came.
- *fef, times*: the tokens/s of `fef` in the engine over these.
- *first token*: median time from submission to the first committed token, of a full batch that arrives at once.
- *idealised*: a decoder of the loop with a full batch in every pass, where a pass takes what the full pass with the head at
  one slot takes as a bare graph, a pass of fewer tokens (a cache) its share of that by tokens, but no less than the
  weights take to be read at copy bandwidth; nothing is drawn, chosen, committed or copied. That favours the decoder: the
  engine's time is that on the wall.
- *peak GB*: of tensors on a GPU; on a CPU, the most that the process ever had resident, which never falls.
"""


def engine_page(_name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`. Of a record of the name `X-at-Y`, beside one of the name `X`, only how its figures changed is shown."""
    named = {re.sub(r"^\d+-", "", stem).replace("-", " "): record for stem, record in records.items()}
    sections: list[Section] = []
    for title, record in named.items():
        now, _, then = title.partition(" at ")
        if then and now in named:
            sections.append((f"{now}: before and after", markdown(changes_sheet(then, record, named[now]))))
            continue
        sections.append((title, "\n".join(f"- {line}" for line in setup_lines(record))))
        if record.of(Served):
            sections.append(("", verdicts(record)))
        sections += [("", f"### {sheet.title}: {title}\n\n{markdown(sheet)}") for sheet in sheets(record)]
    begin = introduction(list(records.values()), (), "batch sizes")
    return results_page("The engine", begin, sections, HOW_TO_READ, remarks), None


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
    def times(row: Served, rate: float | None) -> str:
        ours = our_row(record, row.batch)
        return "" if ours is None or rate is None or row == ours else f"{ours.rate / rate:.2f}"

    columns: dict[str, Callable[[Served], str]] = {
        "batch": lambda row: str(row.batch),
        "method": lambda row: row.name,
        "problems": lambda row: str(row.problems),
        "right, %": lambda row: f"{row.accuracy:.1f}",
        "tokens/s": lambda row: f"{row.rate:,.0f}",
        "fef, times": lambda row: times(row, row.rate),
        "idealised": lambda row: known(row.ideal_rate, ",.0f"),
        "fef, times that": lambda row: times(row, row.ideal_rate),
        "passes": lambda row: f"{row.passes / row.problems:.1f}",
        "tokens/pass": lambda row: f"{row.tokens / row.passes:.2f}",
        "tokens/round, predicted": lambda row: known(row.predicted, ".2f"),
        "real": lambda row: known(row.real, ".2f"),
        "first token, ms": lambda row: "" if row.first_token is None else milliseconds(row.first_token),
        "peak GB": lambda row: "" if row.memory is None else f"{row.memory / 1e9:.2f}",
    }
    return sheet_of(record.of(Served), columns, "Answers", words=WORDS)


def changes_sheet(then: str, before: Record, after: Record) -> Sheet:
    """Figures that both have. then: what the other one is called."""
    pairs = [
        (row.batch, f"{row.name}, ms", 1e3 * old.seconds, 1e3 * row.seconds)
        for row in after.of(PassRow)
        for old in before.of(PassRow)
        if (old.batch, old.name, old.rows, old.tokens) == (row.batch, row.name, row.rows, row.tokens)
    ]
    pairs += [
        (row.batch, f"{row.name}, tokens/s", old.rate, row.rate)
        for row in after.of(Served)
        for old in before.of(Served)
        if (old.batch, old.name, old.problems) == (row.batch, row.name, row.problems)
    ]
    columns: dict[str, Callable[[tuple[int, str, float, float]], str]] = {
        "batch": lambda pair: str(pair[0]),
        "what": lambda pair: pair[1],
        f"at {then}": lambda pair: digits(pair[2], 4),
        "here": lambda pair: digits(pair[3], 4),
        "change": lambda pair: f"{100 * (pair[3] / pair[2] - 1):+.1f} %",
    }
    return sheet_of(pairs, columns, words=WORDS)


def milliseconds(seconds: float) -> str:
    return digits(1e3 * seconds, 3)


def digits(value: float, count: int) -> str:
    """So many digits, or all of them before the point."""
    return f"{value:,.0f}" if value >= 10 ** (count - 1) else f"{value:#.{count}g}"
