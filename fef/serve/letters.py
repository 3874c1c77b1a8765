"""What the routes and the engine tell each other: records without behaviour, which a pipe between two processes carries.

Routes give commands. The engine answers with one letter per round, which has all that is new for all requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fef.decoding.certificate import Certificate
from fef.engine.requests import EngineResult, Likeliest
from fef.engine.watched import CanvasRound
from fef.errors import FefError
from fef.generation import Model
from fef.grammar.compiled import TokenGrammar

__all__ = [
    "Accepted",
    "Call",
    "Cancel",
    "Command",
    "Event",
    "Letter",
    "Lost",
    "NewTokens",
    "NextSpan",
    "Over",
    "Refused",
    "Rounds",
    "Settled",
    "Stop",
    "Submit",
    "Times",
    "Wanted",
]

# --- commands; a number tells requests and calls apart ---


@dataclass(frozen=True)
class Wanted:
    """A request to the engine. spans: places of the canvas `ids`, filled one range after the other. grammars: of each.
    options: of `Engine.submit`. stream: are tokens told as they are committed? watch: what rounds did, too?"""

    ids: Sequence[int]
    spans: Sequence[range]
    grammars: Sequence[TokenGrammar | None]
    options: Mapping[str, Any]
    stream: bool
    watch: bool


@dataclass(frozen=True)
class Submit:
    number: int
    wanted: Wanted


@dataclass(frozen=True)
class Cancel:
    """Nobody waits for a request or a call any more."""

    number: int


@dataclass(frozen=True)
class Call:
    """Something else to be done with the network, between two rounds."""

    number: int
    function: Callable[[Model], Any]


@dataclass(frozen=True)
class Stop:
    """The last command."""


Command = Submit | Cancel | Call | Stop

# --- events ---


@dataclass(frozen=True)
class Accepted:
    """The engine has the request. final: its tokens are told as they are committed, since none is taken back. end_id: the
    token behind which its law leaves nothing open, if there is one."""

    certificate: Certificate
    final: bool
    end_id: int | None


@dataclass(frozen=True)
class Refused:
    """The engine does not take the request. fault: is that the server's?"""

    error: FefError
    fault: bool = False


@dataclass(frozen=True)
class Times:
    """When a request was handed over, had a seat, and had a token if it has one, by `time.perf_counter`, a clock
    that the processes of a machine share."""

    began: float
    seated: float
    first_token: float | None


@dataclass(frozen=True)
class NewTokens:
    """By position: token and log p (nats), and the likeliest tokens where they were asked for."""

    committed: Sequence[tuple[int, tuple[int, float]]]
    likeliest: Mapping[int, Likeliest]


@dataclass(frozen=True)
class Rounds:
    """What rounds did to the canvas, of a request that is watched."""

    rounds: Sequence[CanvasRound]


@dataclass(frozen=True)
class NextSpan:
    """A span of a template is full, and the next one has begun."""

    certificate: Certificate


@dataclass(frozen=True)
class Over:
    """The request is done, or has failed. result: of all its spans."""

    result: EngineResult | None
    error: FefError | None


@dataclass(frozen=True)
class Settled:
    """A call is done, or has failed."""

    result: Any
    error: Exception | None


Event = Accepted | Refused | Times | NewTokens | Rounds | NextSpan | Over | Settled

Letter = Sequence[tuple[int, Event]]


@dataclass(frozen=True)
class Lost:
    """The last that is heard of an engine that has failed."""

    error: FefError
