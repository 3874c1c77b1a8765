"""What draft heads, trees and the choice among shapes are worth: rows, and their page, of one record or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fef.measure.page import Section, device_words, introduction, results_page, version_words
from fef.measure.record import Record, RecordKind
from fef.measure.table import Sheet, known, markdown, sheet_of

__all__ = ["DRAFTS_KIND", "RoundRow", "ServedRow", "ShapeRow", "drafts_page"]


@dataclass(frozen=True)
class ShapeRow:
    """Rounds of a shape. rows: requests in them. predicted, tokens: as in `RoundTally`. seconds: of a round of a full batch,
    if that is known."""

    shape: str
    rounds: int
    rows: int
    predicted: float
    tokens: int
    seconds: float | None


@dataclass(frozen=True)
class ServedRow:
    """passes: of any kind, of all requests. seconds: of the median run. differ: texts that are not those of the first row of
    the same settings. captured: graphs that were made while the clock ran. host: seconds of a run in which the host did not
    wait for the device; None on a CPU, where it is the device. unlike: answers, with the bits of their log p, that are not
    those of the first batch size; None for that one."""

    batch: int
    temperature: float
    rounds: str
    head: bool
    requests: int
    tokens: int
    passes: int
    seconds: float
    differ: int
    captured: int = 0
    shapes: Sequence[ShapeRow] = ()
    host: float | None = None
    unlike: int | None = None

    def __post_init__(self) -> None:
        shapes = [ShapeRow(**shape) if isinstance(shape, dict) else shape for shape in self.shapes]
        object.__setattr__(self, "shapes", shapes)  # in a file they are objects of JSON


@dataclass(frozen=True)
class RoundRow:
    """A round at batch 1, its drafts included. read: bytes of weights and keys, once each. times: that of one token."""

    kind: str
    tokens: int
    seconds: float
    read: int
    share: float  # of copy bandwidth
    times: float


DRAFTS_KIND = RecordKind("drafts", "python -m fef.bench.engine.drafts --json", {"rows": ServedRow, "single": RoundRow})

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


def drafts_page(_name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`, of records of one device."""
    found = list(records.values())
    where = found[0].setup["environment"]
    begin = introduction(found, [f"Device: {device_words(where)}. Versions: {version_words(where)}."], "rows")
    sections = [section for record in found for section in sections_of(record)]
    return results_page("Drafts in the engine", begin, sections, HOW_TO_READ, remarks), None


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
    first: dict[tuple[int, float], ServedRow] = {}
    for row in rows:
        first.setdefault((row.batch, row.temperature), row)

    def rate(row: ServedRow) -> float:
        return row.tokens / row.seconds

    columns: dict[str, Callable[[ServedRow], str]] = {
        "batch": lambda row: str(row.batch),
        "T": lambda row: f"{row.temperature:g}",
        "rounds": label,
        "requests": lambda row: str(row.requests),
        "tokens": lambda row: f"{row.tokens:,}",
        "tokens/pass": lambda row: f"{row.tokens / row.passes:.2f}",
        "tokens/s": lambda row: f"{rate(row):,.0f}",
        "of the first": lambda row: f"{rate(row) / rate(first[row.batch, row.temperature]):.2f}",
        "others": lambda row: str(row.differ),
        "other bits": lambda row: known(row.unlike, "d"),
        "host, ms": lambda row: "" if row.host is None else f"{row.host / row.requests * 1e3:.2f}",
        "graphs made meanwhile": lambda row: str(row.captured),
    }
    return sheet_of(rows, columns)


def shapes_sheet(rows: Sequence[ServedRow]) -> Sheet:
    """Shapes that rounds had."""
    columns: dict[str, Callable[[tuple[ServedRow, ShapeRow]], str]] = {
        "batch": lambda both: str(both[0].batch),
        "T": lambda both: f"{both[0].temperature:g}",
        "row": lambda both: label(both[0]),
        "shape": lambda both: both[1].shape,
        "rounds": lambda both: str(both[1].rounds),
        "requests": lambda both: f"{both[1].rows / both[1].rounds:.1f}",
        "predicted": lambda both: f"{both[1].predicted / both[1].rows:.2f}",
        "real": lambda both: f"{both[1].tokens / both[1].rows:.2f}",
        "ms": lambda both: "" if both[1].seconds is None else f"{both[1].seconds * 1e3:.2f}",
    }
    return sheet_of([(row, shape) for row in rows for shape in row.shapes if shape.rows], columns)


def single_sheet(rows: Sequence[RoundRow]) -> Sheet:
    columns: dict[str, Callable[[RoundRow], str]] = {
        "round": lambda row: row.kind,
        "tokens": lambda row: str(row.tokens),
        "ms": lambda row: f"{row.seconds * 1e3:.3f}",
        "one token": lambda row: f"{row.times:.2f}",
        "share of copy bandwidth": lambda row: f"{row.share:.0%}",
    }
    return sheet_of(rows, columns)
