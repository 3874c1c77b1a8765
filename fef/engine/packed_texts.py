"""Texts under grammars in packed rounds: which drafts wait, and what the states of a round may go on with.

A pass verifies the drafts that wait, under what the grammar allows behind none, one, .. all of them. Behind it the host reads
what was committed, and drafts the next slots one behind the other, each as the slot would be drawn if the grammar allowed no
more than it does behind the drafts before. Drafts of a text are a chain, whatever shape a round has.

Shapes: B rows, K slots behind the committed tokens, C candidates of a slot, X states, V vocabulary, W words of bits, J
numbers of a letter, N those of its candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fef.errors import FefError, GrammarError
from fef.grammar.text import CORNERED, Ahead, GrammarText, Words, only_token, words_of

__all__ = ["LETTER_HEAD", "Candidates", "Draft", "Letter", "NextSlots", "PackedText"]

LETTER_HEAD = 4  # numbers of a letter before the tokens
_LIKELY = 0.8  # what a grammar leaves of a law may make a token surer: where it matters, that is looked at

Draft = tuple[int, float]
"""A token, and the chance that it is drawn."""


class NextSlots(Protocol):
    """What a pass says of the slots behind the committed tokens, without a grammar."""

    def likely(self, place: int) -> Sequence[Draft]:
        """What would be drawn at a slot and at those behind it, as far as that is known at once."""
        ...

    def best(self, place: int, words_W: Words) -> Draft | None:
        """What would be drawn at a slot of what is allowed; None where that is not known."""
        ...


@dataclass(frozen=True)
class Candidates:
    """The best tokens of each slot, falling, and the chance of each."""

    token_KC: npt.NDArray[np.int64]
    holds_KC: npt.NDArray[np.float64]

    @classmethod
    def of_drafts(cls, drafts: Sequence[int]) -> Candidates:
        """One for each slot, sure to be drawn."""
        return cls(np.array(drafts, dtype=np.int64).reshape(-1, 1), np.ones((len(drafts), 1)))

    def likely(self, place: int) -> list[Draft]:
        holds_K = self.holds_KC[place:, 0]
        count = int((holds_K < _LIKELY).argmax()) if (holds_K < _LIKELY).any() else len(holds_K)
        return list(zip(self.token_KC[place : place + count, 0].tolist(), holds_K[:count].tolist(), strict=True))

    def best(self, place: int, words_W: Words) -> Draft | None:
        if place >= len(self.token_KC):
            return None
        token_C, holds_C = self.token_KC[place], self.holds_KC[place]
        holds_C = np.where((words_W[token_C >> 5] >> (token_C & 31)) & 1, holds_C, 0.0)
        at = int((holds_C > 0).argmax())
        return (int(token_C[at]), float(holds_C[at] / holds_C.sum())) if holds_C[at] > 0 else None


class PackedText:
    """The text of one request. tokens: those committed. drafts: those that wait. passes: denoising passes begun. open: slots
    of the one that it is in. ahead: what the last pass says of the slots behind, if that is still to be drafted from. error:
    why it cannot go on."""

    def __init__(self, text: GrammarText) -> None:
        self.text = text
        self.tokens: list[int] = []
        self.drafts: list[int] = []
        self.passes, self.before, self.open = 0, 0, 0
        self.ahead: NextSlots | None = None
        self.error: FefError | None = None

    def begin(self, slots: int) -> None:
        """A denoising pass of so many slots begins, without drafts."""
        self.drafts, self.ahead = [], None
        self.passes, self.before, self.open = self.passes + 1, len(self.tokens), slots

    @property
    def done(self) -> int:
        """Tokens of this denoising pass."""
        return len(self.tokens) - self.before

    @property
    def left(self) -> int:
        """Slots of it that are still to be drawn."""
        return self.open - self.done

    def write_masks(self, words_XW: Words) -> int:
        """Write what may stand behind none, one, .. all of the drafts that wait, as far as they are allowed, into the first
        of these rows; how many were written. Where nothing may, or the grammar was given up, everything: whoever commits a
        token there sees that it is not allowed."""
        if self.error is None:
            try:
                count = self.text.write(self.drafts, words_XW)
                written_XW = words_XW[:count]
                written_XW[~written_XW.any(1)] = -1
                return count
            except FefError as error:
                self.error = error
        words_XW[0] = -1
        return 1

    def masks(self) -> Words:
        """Behind none, one, .. all of the drafts that wait [X, W]; everything behind one that is not allowed."""
        words_XW = np.full((len(self.drafts) + 1, words_of(self.text.size)), -1, dtype=np.int32)
        words_XW[self.write_masks(words_XW) :] = -1
        return words_XW

    def read(self, tokens: Sequence[int]) -> bool:
        """Go on by committed tokens. Does the grammar allow them?"""
        self.tokens += tokens
        self.drafts = []
        if self.error is None:
            try:
                if not self.text.follow(self.tokens):
                    self.error = GrammarError(CORNERED)
            except FefError as error:
                self.error = error
        return self.error is None

    def draft(self, slots: NextSlots, limit: int, least: float) -> list[float]:
        """Draft the next slots, at most `limit`, as long as a round comes so far with a chance of at least `least`. Gives the
        chance of each draft to hold.

        Where a grammar leaves one token only, that one is a draft whatever the network says.
        """
        try:
            found = self.drafted(slots, limit, least) if self.error is None else []
        except FefError as error:
            self.error, found = error, []
        self.drafts = [token for token, _ in found]
        return [hold for _, hold in found]

    def drafted(self, slots: NextSlots, limit: int, least: float) -> list[Draft]:
        found, reached = list[Draft](), 1.0
        with self.text.ahead() as ahead:
            while len(found) < limit and reached >= least and not ahead.ended:
                likely, chance = list[Draft](), reached
                for draft in slots.likely(len(found))[: limit - len(found)]:
                    likely.append(draft)
                    chance *= draft[1]
                    if chance < least:
                        break
                more = likely[: ahead.take([token for token, _ in likely])] or self.one_allowed(
                    ahead, slots, len(found)
                )
                if not more:
                    break
                found += more
                for _, hold in more:
                    reached *= hold
        return found

    def one_allowed(self, ahead: Ahead, slots: NextSlots, place: int) -> list[Draft]:
        """A draft of what is allowed there, if there is one."""
        words_W = ahead.words()
        only = only_token(words_W)
        best = (only, 1.0) if only is not None and not self.ends(only) else slots.best(place, words_W)
        return [best] if best is not None and ahead.take([best[0]]) else []

    def ends(self, token: int) -> bool:
        return token in self.text.vocabulary.end_ids


@dataclass(frozen=True)
class Letter:
    """What a pass tells the host of its rows, int64 [B, J]: what is done, whether there is more to do, how many drafts wait,
    of how many slots there are candidates; the tokens drawn at so many states; so many places for drafts; of so many slots
    the candidates, and the chances of each."""

    numbers_BJ: Tensor
    states: int
    drafts: int
    slots: int

    def read(self, text: PackedText, row_J: npt.NDArray[np.int64]) -> None:
        """One row, as it came."""
        rest = LETTER_HEAD + self.states + self.drafts
        done, live, drafted, count, *numbers = row_J[:rest].tolist()
        text.read(numbers[: done - text.done])
        if live:
            text.drafts = numbers[self.states : self.states + drafted]
        if live and self.slots:
            token_N, holds_N = np.split(row_J[rest:], 2)
            holds_KC = holds_N.view(np.float64).reshape(self.slots, -1)
            text.ahead = Candidates(token_N.reshape(self.slots, -1)[:count], holds_KC[:count])
