"""Committed tokens as text, in pieces that are never taken back.

A piece holds back what is not certain yet: text behind a position that is still open, bytes of an unfinished character, text
that may be the beginning of a stop string, and one character more, so that the last piece is not empty. Only the first
character of a text is told as soon as it is known, since many texts begin with a token of one. What the pieces add up to is a
function of the tokens alone, not of the rounds in which they came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fef.serve.growing_text import UNFINISHED, GrowingText

Likeliest = Sequence[tuple[int, float]]

__all__ = ["LEAST_LOGPROB", "FinishReason", "Piece", "TextPieces", "Token", "first_stop", "held_for_stops"]

FinishReason = Literal["stop", "length"]

LEAST_LOGPROB = -9999.0  # stands for minus infinity, which JSON does not have


@dataclass(frozen=True)
class Token:
    """A token of the text. start: its offset in the text, in characters. likeliest: tokens at its place, their text
    and log p."""

    id: int
    logprob: float  # nats
    text: str
    start: int
    likeliest: Sequence[tuple[int, str, float]] = ()

    @property
    def own_likelihood(self) -> float:
        """Its log p among the likeliest tokens; that of its commit where it is none of them."""
        return next((logprob for token, _, logprob in self.likeliest if token == self.id), self.logprob)


@dataclass(frozen=True)
class Piece:
    """New text and its tokens (none where they were not asked for). finish: why the text ends with it, if it does."""

    text: str
    tokens: list[Token]
    finish: FinishReason | None


class TextPieces:
    """places: the open positions from the left. ends: ids that end the text. most: tokens of the text, the end token among
    them. least: tokens before the end, in which no stop string ends. tokens: are single tokens asked for?"""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        places: range,
        ends: Iterable[int],
        stops: Sequence[str] = (),
        *,
        most: int | None = None,
        least: int = 0,
        keep_stop: bool = False,
        tokens: bool = False,
    ) -> None:
        self.decode, self.places, self.ends = decode, places, frozenset(ends)
        self.stops, self.keep_stop, self.with_tokens = stops, keep_stop, tokens
        self.most = len(places) if most is None else min(most, len(places))
        self.least, self.likeliest = least, dict[int, Likeliest]()
        self.known: dict[int, tuple[int, float]] = {}  # behind a position that is open
        self.ids: list[int] = []  # of the text
        self.logprobs: list[float] = []  # of the text, and of its end token
        self.text, self.by_token = (
            GrowingText(decode),
            GrowingText(decode),
        )  # the second only where offsets are asked for
        self.offsets: list[int] = [0]  # where each token of the text begins, and the last one ends
        self.sent, self.sent_tokens = 0, 0
        self.finish: FinishReason | None = None
        self.taken, self.last = 0, -1  # tokens from the left on, and the last of them

    @property
    def counted(self) -> int:
        """Tokens drawn for the text, its end token among them."""
        return len(self.logprobs)

    def filled(self, end_id: int | None) -> bool:
        """Is nothing left to draw behind what was taken? end_id: the token behind which the law leaves nothing open."""
        return self.taken == len(self.places) or self.last == end_id

    def add(
        self, committed: Iterable[tuple[int, tuple[int, float]]], likeliest: Mapping[int, Likeliest] | None = None
    ) -> Piece | None:
        """What is new in the text once these tokens are known; positions that were told before are passed over. likeliest: by
        position, the likeliest tokens and their log p."""
        if self.finish is not None:
            return None
        self.known.update(committed)
        self.likeliest.update(likeliest or {})
        self.take_in_order()
        text = self.text.since(self.sent)
        if self.finish is None:
            text = text.rstrip(UNFINISHED)
        cut = first_stop(text, self.stops, self.end_of(self.least) - self.sent)
        if cut is not None:
            self.finish = "stop"
            self.drop_tokens_behind(self.sent + cut.stop)
            text = text[: cut.stop if self.keep_stop else cut.start]
        if self.finish is None:
            certain = len(text) - held_for_stops(text, self.stops)
            text = text[: max(certain - 1, min(certain, 1 - self.sent), 0)]
            if not text:
                return None
        self.sent += len(text)
        return Piece(text, self.new_tokens(self.sent), self.finish)

    def take_in_order(self) -> None:
        before = len(self.ids)
        self.take_known()
        if len(self.ids) > before:
            self.text.add(self.ids[before:])

    def take_known(self) -> None:
        while self.finish is None:
            token, logprob = self.known.pop(self.places.start + self.counted, (None, 0.0))
            if token is None:
                return
            self.taken, self.last = self.taken + 1, token
            self.logprobs.append(logprob)
            if token in self.ends:
                self.finish = "stop"
            else:
                self.ids.append(token)
                if self.counted == self.most:
                    self.finish = "length"

    def drop_tokens_behind(self, stop: int) -> None:
        """Keep the fewest tokens whose text reaches the end of a stop string."""
        self.end_of(len(self.ids))
        kept = min(bisect_left(self.offsets, stop), len(self.ids))
        del self.ids[kept:], self.logprobs[kept:], self.offsets[kept + 1 :]

    def end_of(self, count: int) -> int:
        """Where the text of the first `count` tokens ends, or of all where there are fewer."""
        count = min(count, len(self.ids))
        for token in self.ids[len(self.offsets) - 1 : count]:
            self.by_token.add([token])
            self.offsets.append(self.by_token.finished_length)
        return self.offsets[count]

    def new_tokens(self, until: int) -> list[Token]:
        """The tokens whose text ends within `until` characters; the last piece has all that are left."""
        if not self.with_tokens:
            return []
        self.end_of(len(self.ids))
        found = []
        while self.sent_tokens < len(self.ids):
            i = self.sent_tokens
            if self.finish is None and self.offsets[i + 1] > until:
                break
            known = self.likeliest.get(self.places.start + i, ())
            beside = [(token, self.decode([token]), logprob) for token, logprob in known]
            found.append(Token(self.ids[i], self.logprobs[i], self.decode([self.ids[i]]), self.offsets[i], beside))
            self.sent_tokens += 1
        return found


def first_stop(text: str, stops: Sequence[str], least: int = 0) -> range | None:
    """The characters of the stop string that is complete first, reading from the left; of several, the longest. None of them
    ends within the first `least` characters."""
    found = [range(at, at + len(stop)) for stop in stops if (at := text.find(stop, max(0, least - len(stop) + 1))) >= 0]
    return min(found, key=lambda match: (match.stop, match.start), default=None)


def held_for_stops(text: str, stops: Sequence[str]) -> int:
    """Characters at the end of the text that may begin a stop string."""
    if not stops:
        return 0
    firsts = {stop[0] for stop in stops}
    end = text[max(0, len(text) - max(map(len, stops)) + 1) :]
    for at, first in enumerate(end):
        if first in firsts and any(stop.startswith(end[at:]) for stop in stops):
            return len(end) - at
    return 0
