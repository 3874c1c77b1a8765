"""The live view: a canvas that fills as it is decoded. What is drawn is a pure function of the rounds seen."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

from rich.console import Group
from rich.text import Text

from fef.decoding.session import Round
from fef.engine.watched import facts_of, outcomes

__all__ = ["CanvasView", "Kind", "canvas_text", "legend"]


class Kind(Enum):
    """How the token at a position came about."""

    MASKED = "masked"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    AFTER_END = "after the end"


STYLE = {Kind.MASKED: "dim", Kind.ACCEPTED: "", Kind.CORRECTED: "bold underline", Kind.AFTER_END: "dim"}
# told apart by signs, not by colour or weight alone; all in Latin-1, for old terminals
MASK, MARK, END = "·", "»", "¶"


@dataclass
class CanvasView:
    """The open part of the first row's canvas, kept up to date by `update`, drawn by `render`."""

    start: int  # first open position
    stop: int  # behind the last one
    eos_id: int | None  # what ends the text
    decode: Callable[[list[int]], str]  # token ids to text
    kinds: list[Kind] = field(default_factory=list)  # how each position was filled
    ids: list[int] = field(default_factory=list)  # tokens of the open part
    counts: dict[str, int] = field(default_factory=lambda: {"round": 0, "drafted": 0, "accepted": 0})  # so far
    step: int = 0  # denoising pass, from 0

    def __post_init__(self) -> None:
        self.kinds = [Kind.MASKED] * (self.stop - self.start)
        self.ids = [0] * (self.stop - self.start)

    def update(self, round_: Round) -> None:
        """Take in one round of the first row."""
        written = written_kinds(round_)
        pending = round_.pending[0, self.start : self.stop].tolist()
        self.ids = round_.ids[0, self.start : self.stop].tolist()
        self.step = int(round_.step[0])
        for i, open_ in enumerate(pending):
            if open_:
                self.kinds[i] = Kind.MASKED
            elif i + self.start in written:
                self.kinds[i] = written[i + self.start]
            elif self.kinds[i] is Kind.MASKED:
                self.kinds[i] = Kind.AFTER_END
        if self.eos_id in self.ids:
            end = self.ids.index(self.eos_id)
            for i in range(end, len(self.kinds)):
                if self.kinds[i] is not Kind.MASKED:
                    self.kinds[i] = Kind.AFTER_END
        self.counts["round"] += 1
        if round_.accepted is not None:
            self.counts["drafted"] += int((round_.slots[0, : window(round_)] >= 0).sum())
            self.counts["accepted"] += int(round_.accepted[0])

    @property
    def filled(self) -> int:
        return sum(kind is not Kind.MASKED for kind in self.kinds)

    def render(self) -> Group:
        """Canvas, counters and legend."""
        return Group(canvas_text(self.ids, self.kinds, self.decode), self.counters(), legend())

    def counters(self) -> Text:
        numbers = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        masked = len(self.kinds) - self.filled
        return Text(f"pass {self.step + 1}, {numbers}, filled {self.filled}, masked {masked}", style="dim")


def written_kinds(round_: Round) -> dict[int, Kind]:
    """What a round committed in its first row, by position: kept drafts, and targets that replaced or followed them.

    Without speculation every committed token is simply accepted.
    """
    kept = ("accepted", "drawn") if round_.accepted is None else ("accepted",)
    how = outcomes(facts_of(round_, 0))
    return {place: Kind.ACCEPTED if each in kept else Kind.CORRECTED for place, each in how.items()}


def window(round_: Round) -> int:
    return 0 if round_.drafts is None else round_.drafts.shape[1]


def canvas_text(ids: list[int], kinds: list[Kind], decode: Callable[[list[int]], str]) -> Text:
    """The canvas as text: tokens of one kind in a row are decoded together, as one character can span tokens."""
    text = Text()
    end_shown = False
    for kind, places in groupby(range(len(kinds)), key=kinds.__getitem__):
        run = list(places)
        if kind is Kind.MASKED:
            text.append(dots(len(run)), style=STYLE[kind])
        elif kind is Kind.AFTER_END:
            text.append("" if end_shown else END, style=STYLE[kind])
            end_shown = True
        elif kind is Kind.ACCEPTED:
            text.append(printable(decode([ids[i] for i in run])), style=STYLE[kind])
        else:
            for i in run:
                text.append(MARK + printable(decode([ids[i]])), style=STYLE[kind])
    return text


def dots(count: int) -> str:
    """`count` masks, in groups of eight so that lines can break between them."""
    return " ".join(MASK * min(8, count - done) for done in range(0, count, 8))


def printable(text: str) -> str:
    """Text without control characters, which could steer the terminal; newlines stay."""
    return "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in text)


def legend() -> Text:
    return Text.assemble(
        ("plain", ""),
        (": accepted draft   ", "dim"),
        (f"{MARK}bold", STYLE[Kind.CORRECTED]),
        (": corrected or bonus token   ", "dim"),
        (MASK, "dim"),
        (": still masked   ", "dim"),
        (END, "dim"),
        (": end of the text", "dim"),
    )
