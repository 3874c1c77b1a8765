"""The page of what draft heads, trees and the choice among shapes are worth: of one record or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from fef.bench.engine.draft_rows import ServedRow, ShapeRow
from fef.bench.engine.single_rounds import RoundRow
from fef.measure.page import Section, device_words, results_page, version_words
from fef.measure.record import Record
from fef.measure.table import Sheet, markdown

__all__ = ["drafts_page"]

HOW_TO_READ = """\
- *tokens/pass*: of answers, end tokens among them, over passes of any kind: contexts count. *tokens/s*: of all requests,
  asked for at once, in an engine that had answered some of them before; *of the first*: over that of the first row of the
  same batch and temperature.
- *others*: texts that are not those of the first row. In bfloat16 two logits may be almost equal, and sums of other shapes
  have another order; from left to right is another law. *other bits*: answers of which a token or a log p has other bits than
  at the first batch size.
- *host*: what the host did while it did not wait for the device, per request.
- *rounds*: of all live requests; *requests*: in one of them. *predicted*, *real*: tokens per round and request. *ms*: of a
  round of a full batch, from the end of one to the end of the next.
- *one token*: the time of a round over that of a round of one token. *share of copy bandwidth*: reading weights and keys
  once, against a large copy on the device.
"""

SERVED = ("batch", "T", "rounds", "requests", "tokens", "tokens/pass", "tokens/s", "of the first", "others", "other bits",
          "host, ms", "graphs made meanwhile")  # fmt: skip
SHAPES = ("batch", "T", "row", "shape", "rounds", "requests", "predicted", "real", "ms")
SINGLE = ("round", "tokens", "ms", "one token", "share of copy bandwidth")


def drafts_page(records: Sequence[Record], remarks: str = "") -> str:
    """The page as Markdown, of records of one device. remarks: what the author makes of the results; the one part that is not
    computed."""
    begin = ["Made by `fef report` from the results of these commands; only the remarks are written by hand."]
    begin += [f"```\n{record.command or record.kind.writer}\n```" for record in records]
    known = [record.setup["environment"] for record in records if "environment" in record.setup]
    if known:
        begin.append(f"Device: {device_words(known[0])}. Versions: {version_words(known[0])}.")
    if not all(record.finished for record in records):
        begin.append("**Unfinished**: a run was interrupted, so rows are missing.")
    sections = [section for record in records for section in sections_of(record)]
    return results_page("Drafts in the engine", "\n\n".join(begin), sections, HOW_TO_READ, remarks)


def sections_of(record: Record) -> Iterator[Section]:
    setup = record.setup
    name = f"`{setup['model']}`, {setup['dtype']}"
    served, single = record.of(ServedRow), record.of(RoundRow)
    if served:
        drawn = f", up to {setup['max_new_tokens']} tokens each"
        yield f"{name}, {max(row.requests for row in served)} prompts{drawn}", markdown(served_sheet(served))
        yield "", markdown(shapes_sheet(served))
    if single:
        yield f"Single rounds of {name}, {setup['cached']} tokens cached", markdown(single_sheet(single))
    if record.failures:
        yield "", "\n".join(f"- {failure.words}: {failure.reason}" for failure in record.failures)


def label(row: ServedRow) -> str:
    return f"{row.rounds}{', head' if row.head else ''}"


def served_sheet(rows: Sequence[ServedRow]) -> Sheet:
    lines = []
    for _, group in groupby(rows, key=lambda row: (row.batch, row.temperature)):
        first: ServedRow | None = None
        for row in group:
            first = first or row
            rate = row.tokens / row.seconds
            lines.append([
                str(row.batch), f"{row.temperature:g}", label(row), str(row.requests), f"{row.tokens:,}",
                f"{row.tokens / row.passes:.2f}", f"{rate:,.0f}", f"{rate * first.seconds / first.tokens:.2f}",
                str(row.differ), "" if row.unlike is None else str(row.unlike),
                "" if row.host is None else f"{row.host / row.requests * 1e3:.2f}", str(row.captured),
            ])  # fmt: skip
    return Sheet(SERVED, lines)


def shapes_sheet(rows: Sequence[ServedRow]) -> Sheet:
    """Shapes that rounds had."""
    return Sheet(SHAPES, [shape_line(row, shape) for row in rows for shape in row.shapes if shape.rows])


def shape_line(row: ServedRow, shape: ShapeRow) -> list[str]:
    return [
        str(row.batch), f"{row.temperature:g}", label(row), shape.shape, str(shape.rounds),
        f"{shape.rows / shape.rounds:.1f}", f"{shape.predicted / shape.rows:.2f}", f"{shape.tokens / shape.rows:.2f}",
        "" if shape.seconds is None else f"{shape.seconds * 1e3:.2f}",
    ]  # fmt: skip


def single_sheet(rows: Sequence[RoundRow]) -> Sheet:
    return Sheet(SINGLE, [
        [row.kind, str(row.tokens), f"{row.seconds * 1e3:.3f}", f"{row.times:.2f}", f"{row.share:.0%}"] for row in rows
    ])  # fmt: skip
