"""What all benches of the engine find: passes that were timed, and requests that were answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from fef.measure.environment import ENVIRONMENT
from fef.measure.fields import Count, Positive
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
    seconds: Positive  # median
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
    problems: Count  # answered
    seconds: Positive  # decoding alone, all problems; of several runs the median
    tokens: Count  # of the answers, end tokens among them
    passes: Count | None = None  # of any kind, summed over problems
    token_forwards: int | None = None  # summed over problems
    right: int | None = None  # of the problems, where answers are judged
    network: str = ""  # where a record has several
    temperature: float | None = None  # where a record has several
    first_token: float | None = None  # median seconds to it, of a full batch that arrives at once
    memory: int | None = None  # peak bytes
    ideal_seconds: Positive | None = None  # what the passes take without any overhead
    predicted: float | None = None  # tokens of a round per request, as the engine expected when it chose its shape
    real: float | None = None  # and as they were, of packed rounds
    host: float | None = None  # seconds in which the host did not wait for a GPU
    captured: int | None = None  # graphs that were made while the clock ran
    differ: int | None = None  # texts that are not those of the first row of the same settings
    unlike: int | None = None  # answers, with the bits of their log p, that are not those of the first batch size
    shapes: list[ShapeRow] = field(default_factory=list)
    note: str = ""

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
    setup={"environment": ENVIRONMENT},
    facts={"bandwidth": float | None},  # bytes per second that a copy reads and writes; None where no pass was timed
)
