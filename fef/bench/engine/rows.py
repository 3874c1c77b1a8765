"""What all benches of the engine find: passes that were timed, and requests that were answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.measure.record import RecordKind

__all__ = ["CONTEXT", "ENGINE", "ENGINE_KIND", "FULL", "FULL_ONE", "LOOP", "PassRow", "Served", "ShapeRow"]

# kinds of passes beside rounds
CONTEXT, FULL, FULL_ONE = "context", "full, head at open slots", "full, head at one slot"
ENGINE, LOOP = "engine", "loop"


@dataclass(frozen=True)
class PassRow:
    """A kind of pass at a batch size, with every row live and its window full."""

    batch: int  # requests at once
    kind: str  # what the pass is for; of a round, its shape
    rows: int  # in the pass
    tokens: int  # of each row
    seconds: float  # median
    bytes_read: float  # what must be read, once each
    share: float  # of the copy bandwidth, that reading them in this time takes
    how: str = ENGINE  # or for plain passes the faster of "torch" and "kernels"
    network: str = ""  # where a record has several
    operations: float = 0.0  # that must be computed, where they are counted


@dataclass(frozen=True)
class ShapeRow:
    """Rounds of a shape."""

    shape: str
    rounds: int
    rows: int  # requests in them
    predicted: float  # tokens, as in `RoundTally`
    tokens: int
    seconds: float | None  # of a round of a full batch, if that is known


@dataclass(frozen=True)
class Served:
    """Requests that a method answered at a batch size."""

    batch: int  # requests at once
    method: str  # label
    where: str  # ENGINE, LOOP (the reference loop), or "kernels"
    problems: int  # answered
    seconds: float  # decoding alone, all problems; of several runs the median
    tokens: int  # of the answers, end tokens among them
    passes: int | None = None  # of any kind, summed over problems
    token_forwards: int | None = None  # summed over problems
    right: int | None = None  # of the problems, where answers are judged
    network: str = ""  # where a record has several
    temperature: float | None = None  # where a record has several
    first_token: float | None = None  # median seconds to it, of a full batch that arrives at once
    memory: int | None = None  # peak bytes
    ideal_seconds: float | None = None  # what the passes take without any overhead
    predicted: float | None = None  # tokens of a round per request, as the engine expected when it chose its shape
    real: float | None = None  # and as they were, of packed rounds
    host: float | None = None  # seconds in which the host did not wait for a GPU
    captured: int | None = None  # graphs that were made while the clock ran
    differ: int | None = None  # texts that are not those of the first row of the same settings
    unlike: int | None = None  # answers, with the bits of their log p, that are not those of the first batch size
    shapes: Sequence[ShapeRow] = ()
    note: str = ""

    def __post_init__(self) -> None:
        shapes = [ShapeRow(**shape) if isinstance(shape, dict) else shape for shape in self.shapes]
        object.__setattr__(self, "shapes", shapes)  # in a file they are objects of JSON

    @property
    def name(self) -> str:
        return f"{self.method}, {self.where}"

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds

    @property
    def ideal_rate(self) -> float | None:
        return None if self.ideal_seconds is None else self.tokens / self.ideal_seconds


ENGINE_KIND = RecordKind(
    "engine",
    "fef bench --engine --json",
    {"passes": PassRow, "served": Served},
    ("bandwidth",),  # bytes per second that a copy reads and writes; None where no pass was timed
)
