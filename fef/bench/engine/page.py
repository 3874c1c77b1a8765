"""What benches of the engine found, in words: tables for the terminal, and the page of records of any of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from fef.bench.engine.rows import LOOP, PassRow, Served, ShapeRow
from fef.measure.page import Section, introduction, results_page, setup_lines
from fef.measure.record import Record
from fef.measure.table import Sheet, known, markdown, sheet_of

__all__ = ["engine_page", "sheets"]

WORDS = ("network", "method", "in", "pass", "computed in", "shape", "what", "part", "reason", "note")  # columns
_PEAK = 989e12  # products in bfloat16 of an H100 or H200, operations per second, by its maker

HOW_TO_READ = f"""\
- **Passes.** *ms*: the median, between events around the replay of the CUDA graph of a pass; on a CPU, by the clock around
  it. Every row is live, in the middle of its answer, and has a full window. *of the first*: over the time of the first pass
  of the same batch.
- *context*: the pass over the canvas that a request begins with, of as many requests as the engine admits at once. *full*: a
  plain pass over whole canvases, what a decoder of one token per pass pays for each; in plain torch or in the engine's
  kernels, whichever is faster, without drawing or committing. *one token*, *chains*, *trees*: rounds, which verify such
  drafts and draft the next ones.
- *GB read*: what must be read, once each: the weights of all blocks and of the head (a quantized one in its own size, with
  scales; of a mixture those of the experts that the tokens choose), and kept keys and values. *share of copy bandwidth*:
  reading that, over the time of the pass, against a large copy on the device in the same run (bytes read and written). A
  network that fits into the cache of the chip can exceed 100 %; a pass of many tokens is bound by arithmetic, and its share
  says nothing. *TFLOP*: what must be computed; *share of bf16 peak*: by the maker of H100 and H200, 989 TFLOP/s.
- **Answers.** *engine*: all requests submitted at once; seconds of the whole, on the clock of the host, in an engine that had
  answered some of them before. *{LOOP}*: `Model.generate` in batches. *kernels*: the same weights from left to right, one
  token per pass, which is another law. *tokens/s*: tokens of the answers up to and including the end token; *of the first*:
  over that of the first row of the same batch and temperature. *passes*: of any kind, per request.
- *predicted*, *real*: tokens per request and round, drafts that hold and one more, as expected before each round, when its
  shape was chosen, and as they came.
- *first token*: median time from submission to the first committed token, of a full batch that arrives at once. *host*: what
  the host did while it did not wait for the device, per request.
- *others*: texts that are not those of the first row. In bfloat16 two logits may be almost equal, and sums of other shapes
  have another order. *other bits*: answers of which a token or a log p has other bits than at the first batch size.
- *idealised*: a decoder of the loop with a full batch in every pass, where a pass takes what the full pass with the head at
  one slot takes as a bare graph, a pass of fewer tokens (a cache) its share of that by tokens, but no less than the
  weights take to be read at copy bandwidth; nothing is drawn, chosen, committed or copied. That favours the decoder: the
  engine's time is that on the wall.
- *peak GB*: of tensors on a GPU; on a CPU, the most that the process ever had resident, which never falls.
- **Shapes of rounds.** *rounds*: of all live requests; *requests*: in one of them. *ms*: of a round of a full batch, from the
  end of one to the end of the next.
"""


def engine_page(name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`. Of a record of the name `X-at-Y`, beside one of the name `X`, only how its figures changed is shown."""
    named = {re.sub(r"^\d+-", "", stem).replace("-", " "): record for stem, record in records.items()}
    sections: list[Section] = []
    for title, record in named.items():
        now, _, then = title.partition(" at ")
        if then and now in named:
            sections.append((f"{now}: before and after", markdown(changes_sheet(then, record, named[now]))))
            continue
        copies = record.facts["bandwidth"]
        said = [
            *setup_lines(record.setup),
            *([] if copies is None else [f"Copies: {copies / 1e9:,.0f} GB/s, read and written."]),
        ]
        sections.append((title, "\n".join(f"- {line}" for line in said)))
        sections += [("", f"### {sheet.title}: {title}\n\n{markdown(sheet)}") for sheet in sheets(record)]
    begin = introduction(list(records.values()), (), "rows")
    return results_page(name.replace("-", " ").capitalize(), begin, sections, HOW_TO_READ, remarks), None


def sheets(record: Record) -> Iterator[Sheet]:
    """The tables that the record has something for."""
    passes, served = record.of(PassRow), record.of(Served)
    shapes = [(row, shape) for row in served for shape in row.shapes if shape.rounds and shape.rows]
    found = [passes_sheet(passes), served_sheet(served), sheet_of(shapes, SHAPES, "Shapes of rounds", words=WORDS)]
    lines = [[failure.words, failure.reason] for failure in record.failures]
    found.append(Sheet(["part", "reason"], lines, "Not measured", words=WORDS))
    return (sheet for sheet in found if sheet.lines)


def passes_sheet(rows: Sequence[PassRow]) -> Sheet:
    first = {(row.network, row.batch): row for row in reversed(rows)}
    columns: dict[str, Callable[[PassRow], str]] = {
        "network": lambda row: row.network,
        "batch": lambda row: str(row.batch),
        "pass": lambda row: row.kind,
        "rows": lambda row: str(row.rows),
        "tokens per row": lambda row: str(row.tokens),
        "ms": lambda row: milliseconds(row.seconds),
        "of the first": lambda row: f"{row.seconds / first[row.network, row.batch].seconds:.2f}",
        "GB read": lambda row: f"{row.bytes_read / 1e9:.3g}",
        "share of copy bandwidth": lambda row: f"{100 * row.share:.0f} %",
        "TFLOP": lambda row: known(row.operations / 1e12 or None, ".3g"),
        "share of bf16 peak": lambda row: known(row.operations / row.seconds / _PEAK or None, ".0%"),
        "computed in": lambda row: row.how,
    }
    return sheet_of(rows, columns, "Passes", words=WORDS)


def served_sheet(rows: Sequence[Served]) -> Sheet:
    first = {(row.network, row.batch, row.temperature): row for row in reversed(rows)}

    def ratio(row: Served, rate: float | None) -> str:
        return "" if rate is None else f"{rate / first[row.network, row.batch, row.temperature].rate:.3g}"

    columns: dict[str, Callable[[Served], str]] = {
        "network": lambda row: row.network,
        "batch": lambda row: str(row.batch),
        "T": lambda row: known(row.temperature, "g"),
        "method": lambda row: row.method,
        "in": lambda row: row.where,
        "requests": lambda row: str(row.problems),
        "right, %": lambda row: "" if row.right is None else f"{100 * row.right / row.problems:.1f}",
        "tokens": lambda row: f"{row.tokens:,}",
        "seconds": lambda row: digits(row.seconds, 3),
        "tokens/s": lambda row: f"{row.rate:,.0f}",
        "of the first": lambda row: ratio(row, row.rate),
        "idealised": lambda row: known(row.ideal_rate, ",.0f"),
        "of the first, idealised": lambda row: ratio(row, row.ideal_rate),
        "passes": lambda row: "" if row.passes is None else f"{row.passes / row.problems:.1f}",
        "tokens/pass": lambda row: "" if row.passes is None else f"{row.tokens / row.passes:.2f}",
        "predicted": lambda row: known(row.predicted, ".2f"),
        "real": lambda row: known(row.real, ".2f"),
        "first token, ms": lambda row: "" if row.first_token is None else milliseconds(row.first_token),
        "host, ms": lambda row: "" if row.host is None else f"{row.host / row.problems * 1e3:.2f}",
        "others": lambda row: known(row.differ, "d"),
        "other bits": lambda row: known(row.unlike, "d"),
        "graphs made meanwhile": lambda row: known(row.captured, "d"),
        "peak GB": lambda row: "" if row.memory is None else f"{row.memory / 1e9:.2f}",
        "note": lambda row: row.note,
    }
    return sheet_of(rows, columns, "Answers", words=WORDS)


SHAPES: Mapping[str, Callable[[tuple[Served, ShapeRow]], str]] = {
    "batch": lambda both: str(both[0].batch),
    "T": lambda both: known(both[0].temperature, "g"),
    "method": lambda both: both[0].method,
    "shape": lambda both: both[1].shape,
    "rounds": lambda both: str(both[1].rounds),
    "requests": lambda both: f"{both[1].rows / both[1].rounds:.1f}",
    "predicted": lambda both: f"{both[1].predicted / both[1].rows:.2f}",
    "real": lambda both: f"{both[1].tokens / both[1].rows:.2f}",
    "ms": lambda both: "" if both[1].seconds is None else f"{both[1].seconds * 1e3:.2f}",
}


Figure = tuple[int, str, str, float | None, int, int]


def changes_sheet(then: str, before: Record, after: Record) -> Sheet:
    """Figures that both have. then: what the other one is called."""
    old, new = figures(before), figures(after)
    columns: dict[str, Callable[[Figure], str]] = {
        "network": lambda key: key[2],
        "batch": lambda key: str(key[0]),
        "T": lambda key: known(key[3], "g"),
        "what": lambda key: key[1],
        f"at {then}": lambda key: digits(old[key], 4),
        "here": lambda key: digits(new[key], 4),
        "change": lambda key: f"{100 * (new[key] / old[key] - 1):+.1f} %",
    }
    return sheet_of([key for key in new if key in old], columns, words=WORDS)


def figures(record: Record) -> dict[Figure, float]:
    """By batch size, what they are of, network, temperature, and how much of it."""
    passes = {
        (row.batch, f"{row.kind}, ms", row.network, None, row.rows, row.tokens): 1e3 * row.seconds
        for row in record.of(PassRow)
    }
    served = {
        (row.batch, f"{row.name}, tokens/s", row.network, row.temperature, row.problems, 0): row.rate
        for row in record.of(Served)
    }
    return passes | served


def milliseconds(seconds: float) -> str:
    return digits(1e3 * seconds, 3)


def digits(value: float, count: int) -> str:
    """So many digits, or all of them before the point."""
    return f"{value:,.0f}" if value >= 10 ** (count - 1) else f"{value:#.{count}g}"
