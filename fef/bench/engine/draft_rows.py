"""What the bench of drafts finds: requests served by rounds of some shapes, and single rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.bench.engine.single_rounds import RoundRow
from fef.measure.record import Key, RecordKind

__all__ = ["DRAFTS_KIND", "ServedRow", "ShapeRow", "key_of"]


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


def key_of(batch: int, temperature: float, rounds: str, head: bool) -> Key:
    return f"batch {batch}", f"T={temperature:g}", rounds, "head" if head else "no head"


DRAFTS_KIND = RecordKind("drafts", "python -m fef.bench.engine.drafts --json", {"rows": ServedRow, "single": RoundRow})
