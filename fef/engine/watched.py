"""What rounds do to the canvas of one request, for those who watch it: a log beside the decoding, which never reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fef.decoding.session import Round, Session
from fef.engine.requests import EngineResult, PassResult
from fef.engine.slots import COUNTERS, PassRequest
from fef.models.packed_pass import RoundShape

__all__ = [
    "CanvasRound",
    "Filled",
    "How",
    "PackedWatch",
    "RoundFacts",
    "State",
    "Token",
    "WatchedCanvas",
    "facts_of",
    "outcomes",
    "session_round",
]

How = Literal["accepted", "corrected", "drawn", "implied"]
"""How a token came about: a draft that held, what replaced a draft that did not, a draw without a draft, or a token that is
certain behind the end of the text."""

Token = tuple[int, int]
"""A position and a token there."""

State = Mapping[int, tuple[int, float]]
"""Token and log p (nats) by position, of all open positions that are filled."""


@dataclass(frozen=True)
class Filled:
    """A position that a round filled. logprob: nats, under the sampled law."""

    place: int
    token: int
    logprob: float
    how: How


@dataclass(frozen=True)
class CanvasRound:
    """What a round changed. rejected: drafts that it looked at and did not keep. drafts: what stands behind it, provisional.
    reopened: positions whose tokens were taken back or hidden by noise. passes: of the network so far."""

    filled: list[Filled]
    rejected: list[Token]
    drafts: list[Token]
    reopened: list[int]
    passes: int


@dataclass(frozen=True)
class RoundFacts:
    """What a round says of itself. written: what it committed, in order, of which the first `accepted` are drafts that held.
    verified: the drafts that it looked at. drafts, passes: as in `CanvasRound`."""

    written: Sequence[Token] = ()
    accepted: int = 0
    verified: Sequence[Token] = ()
    drafts: Sequence[Token] = ()
    passes: int = 0


@dataclass
class WatchedCanvas:
    """rounds: those that nobody has taken yet. known: the tokens that they have filled in."""

    rounds: list[CanvasRound] = field(default_factory=list)
    known: dict[int, int] = field(default_factory=dict)

    def add(self, state: State, facts: RoundFacts) -> None:
        """Note how a round led from what is known to this state."""
        how, tokens = outcomes(facts), {place: token for place, (token, _) in state.items()}
        new = [place for place, token in tokens.items() if place in how or self.known.get(place) != token]
        tried = dict.fromkeys([*facts.verified, *facts.written])  # each once, in order
        found = CanvasRound(
            filled=[Filled(place, *state[place], how.get(place, "implied")) for place in new],
            rejected=[(place, token) for place, token in tried if tokens.get(place) != token],
            drafts=list(facts.drafts),
            reopened=[place for place in self.known if place not in tokens],
            passes=facts.passes,
        )
        self.known = tokens
        if found.filled or found.rejected or found.drafts or found.reopened:
            self.rounds.append(found)

    def complete(self, places: Sequence[int], result: EngineResult) -> None:
        """Note the end, with what no round had to draw."""
        state = dict(zip(places, zip(result.tokens, result.logprobs, strict=True), strict=True))
        self.add(state, RoundFacts(passes=result.counters["calls"]))

    def take(self) -> list[CanvasRound]:
        """The rounds since the last time."""
        found, self.rounds = self.rounds, []
        return found


def outcomes(facts: RoundFacts) -> dict[int, How]:
    """By position, how the tokens came about that a round wrote."""
    drafted = {place for place, _ in facts.verified}
    found: dict[int, How] = {}
    for i, (place, _) in enumerate(facts.written):
        found[place] = "accepted" if i < facts.accepted else "corrected" if place in drafted else "drawn"
    return found


# --- rounds of sessions ---


def session_round(session: Session, round_: Round, row: int) -> tuple[State, RoundFacts]:
    """The canvas of one row behind a round, and what the round says of it."""
    canvas = session.canvas
    filled_L = (canvas.open_BL & ~canvas.pending_BL)[row]
    places = filled_L.nonzero()[:, 0].tolist()
    drawn = zip(canvas.ids_BL[row, filled_L].tolist(), canvas.logprob_BL[row, filled_L].tolist(), strict=True)
    return dict(zip(places, drawn, strict=True)), facts_of(round_, row, int(session.meter.calls[row]))


def facts_of(round_: Round, row: int, passes: int = 0) -> RoundFacts:
    """What a round says of one row."""
    tried = list(zip(round_.slots[row].tolist(), round_.tokens[row].tolist(), strict=True))
    taken = zip(tried, round_.written[row].tolist(), strict=True)
    return RoundFacts(
        written=[token for token, written in taken if written and token[0] >= 0],
        accepted=0 if round_.accepted is None else int(round_.accepted[row]),
        verified=verified_drafts(round_, row),
        drafts=unchosen(round_, row, tried) if round_.accepted is None else (),
        passes=passes,
    )


def verified_drafts(round_: Round, row: int) -> list[Token]:
    if round_.drafts is None:
        return []
    tokens = round_.drafts[row].tolist()
    return [(place, token) for place, token in zip(round_.slots[row].tolist(), tokens, strict=False) if token >= 0]


def unchosen(round_: Round, row: int, tried: Sequence[Token]) -> list[Token]:
    """Draws that a rule did not choose: where a position is open, and what stands there is not this token already."""
    pending, ids = round_.pending[row].tolist(), round_.ids[row].tolist()
    return [(place, token) for place, token in tried if place >= 0 and pending[place] and ids[place] != token]


# --- packed rounds ---


@dataclass
class PackedWatch:
    """Reads the rounds of a canvas off what each launch left in its slot.

    pass_: the denoising pass. state, counters (`slots.COUNTERS`), drafts: behind its last launch. calls: of passes before it.
    """

    canvas: WatchedCanvas
    pass_: PassRequest | None = None
    state: State = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    drafts: Sequence[tuple[int, int]] = ()
    calls: int = 0

    def read(
        self, pass_: PassRequest, result: PassResult, shape: RoundShape, drafts: Sequence[tuple[int, int]]
    ) -> None:
        """Note a launch of this shape by what it left. drafts: tokens and numbers, as in `SlotState.drafts_kept`."""
        if pass_ is not self.pass_:
            self.open(pass_)
        order = [int(place) for place in pass_.order]
        drawn = list(zip(order, result.tokens, strict=False))
        counters = dict(zip(COUNTERS, result.counters, strict=True))
        done = sum(place in self.state for place in order)
        width, accepted = (counters[name] - self.counters.get(name, 0) for name in ("drafted", "accepted"))
        looked_at = [token for token, number in self.drafts if number <= shape.window]
        facts = RoundFacts(
            written=drawn[done:],
            accepted=accepted,
            verified=list(zip(order[done:], looked_at[:width], strict=False)),
            drafts=list(zip(order[len(drawn) :], [token for token, _ in drafts], strict=False)),
            passes=self.calls + counters["calls"],
        )
        new = zip(drawn[done:], result.logprobs[done:], strict=True)
        self.state = {**self.state, **{place: (token, logprob) for (place, token), logprob in new}}
        self.counters, self.drafts = counters, drafts
        self.canvas.add(self.state, facts)

    def open(self, pass_: PassRequest) -> None:
        """A denoising pass begins, in which its positions are open."""
        opened = set(map(int, pass_.order))
        self.state = {place: known for place, known in self.state.items() if place not in opened}
        self.calls += self.counters.get("calls", 0)
        self.pass_, self.counters, self.drafts = pass_, {}, ()
