"""One text under a grammar: what it may go on with, given the tokens so far.

What a grammar allows is a function of these tokens alone; a text remembers how far it has read them. The end token is no part
of the language: it is allowed where the text may end, and behind it comes nothing else.

Shapes: W drafts, X = W + 1 prefixes of them, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Allowed", "GrammarText"]

Allowed = npt.NDArray[np.bool_]


class GrammarText(ABC):
    """size: ids of the vocabulary. legal: does the grammar allow what was read? If not, anything may follow."""

    def __init__(self, size: int, eos_id: int) -> None:
        self.size, self.eos_id = size, eos_id
        self.seen: list[int] = []
        self.legal, self.ended = True, False

    def follow(self, tokens: Sequence[int]) -> bool:
        """Read the whole text so far. Does the grammar allow it?"""
        tokens = list(tokens)
        if tokens[: len(self.seen)] != self.seen:
            self.seen, self.legal, self.ended = [], True, False
            self.restart()
        for token in tokens[len(self.seen) :]:
            self.legal = self.legal and self.one(token)
            self.ended = self.ended or token == self.eos_id
            self.seen.append(token)
        return self.legal

    def one(self, token: int) -> bool:
        if self.ended:
            return token == self.eos_id
        return self.may_end() if token == self.eos_id else self.read(token)

    def allowed(self, drafts: Sequence[int]) -> Allowed:
        """What is allowed behind none, one, .. all of these drafts, in one call; bool [X, V]. Behind a draft that is not
        allowed itself it has no meaning, and is never nothing."""
        allowed_XV = np.ones((len(drafts) + 1, self.size), dtype=np.bool_)
        if self.legal:
            plain = list(drafts)
            end = 0 if self.ended else (plain.index(self.eos_id) + 1 if self.eos_id in plain else len(plain) + 1)
            if end:
                self.fill(plain[: end - 1], allowed_XV[:end])
            allowed_XV[end:] = np.arange(self.size) == self.eos_id
        return allowed_XV

    def allowed_behind(self, drafts: Sequence[int]) -> Allowed:
        """What is allowed behind all of these drafts, which are allowed; bool [V]."""
        allowed_V: Allowed = self.allowed(drafts)[-1]
        return allowed_V

    @abstractmethod
    def restart(self) -> None: ...

    @abstractmethod
    def read(self, token: int) -> bool:
        """Go on by a token. False, and no further calls, where it is not allowed."""
        ...

    @abstractmethod
    def may_end(self) -> bool: ...

    @abstractmethod
    def fill(self, drafts: Sequence[int], allowed_XV: Allowed) -> None:
        """Write what is allowed behind none, one, .. all of the drafts, none of which is an end token, as far as they are
        allowed."""
        ...
