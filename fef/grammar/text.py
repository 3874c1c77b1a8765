"""One text under a grammar: what it may go on with, given the tokens so far.

What a grammar allows is a function of these tokens alone; a text remembers how far it has read them. End tokens are no part
of the language: they are allowed where the text may end, and behind one comes nothing but the id that fills what is left.

Shapes: D drafts, X = D + 1 prefixes of them, V vocabulary, W words of 32 bits that have one for each of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from fef.grammar.vocabulary import Vocabulary

__all__ = ["CORNERED", "Ahead", "Allowed", "GrammarText", "Words", "only_token", "packed", "unpacked", "words_of"]

Allowed = npt.NDArray[np.bool_]
Words = npt.NDArray[np.int32]
"""What is allowed, a bit for each id, the lowest first."""


CORNERED = (
    "Behind a text of this request the grammar allows no token that the network can draw: they are banned, missing in its "
    "vocabulary, or of logit -inf. Ban fewer tokens, or take another grammar."
)
"""Of the GrammarError of a text that is not `legal`."""


class GrammarText(ABC):
    """legal: does the grammar allow what was read? If not, anything may follow. ended: was an end token read?"""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary, self.size = vocabulary, vocabulary.size
        self.seen: list[int] = []
        self.legal, self.ended = True, False

    def follow(self, tokens: Sequence[int]) -> bool:
        """Read the whole text so far. Does the grammar allow it?"""
        tokens = list(tokens)
        if tokens[: len(self.seen)] != self.seen:
            self.seen, self.legal, self.ended = [], True, False
            self.restart()
        new = tokens[len(self.seen) :]
        self.legal = self.legal and self.goes_on(new)
        self.ended = self.ended or self.before_an_end(new) < len(new)
        self.seen += new
        return self.legal

    def goes_on(self, tokens: Sequence[int]) -> bool:
        """Read what stands behind the tokens so far. Is it allowed?"""
        before = 0 if self.ended else self.before_an_end(tokens)
        if before and self.read(tokens[:before]) < before:
            return False
        if before == len(tokens):
            return True
        fill = tokens[before:] if self.ended else tokens[before + 1 :]
        return (self.ended or self.may_end()) and all(token == self.vocabulary.eos_id for token in fill)

    def allowed(self, drafts: Sequence[int]) -> Allowed:
        """What is allowed behind none, one, .. all of these drafts, in one call; bool [X, V]. Behind a draft that is not
        allowed itself it has no meaning, and is never nothing."""
        return unpacked(self.words(drafts), self.size)

    def words(self, drafts: Sequence[int]) -> Words:
        """`allowed` in words [X, W]."""
        words_XW = np.full((len(drafts) + 1, words_of(self.size)), -1, dtype=np.int32)
        self.write(drafts, words_XW)
        return words_XW

    def write(self, drafts: Sequence[int], words_XW: Words) -> int:
        """`words` into the first rows of these, as far as drafts are allowed; how many rows were written. What is in others
        has no meaning."""
        if not self.legal:
            words_XW[0] = -1
            return 1
        # states before the end; those behind it leave no choice
        open_ = 0 if self.ended else self.before_an_end(drafts) + 1
        count = self.fill(drafts[: open_ - 1], words_XW[:open_]) if open_ else 0
        if count == open_ <= len(drafts):
            words_XW[open_ : len(drafts) + 1] = packed(np.arange(self.size) == self.vocabulary.eos_id)
            count = len(drafts) + 1
        return count

    def before_an_end(self, drafts: Sequence[int]) -> int:
        """How many drafts stand before the first end token among them."""
        return next((i for i, token in enumerate(drafts) if token in self.vocabulary.end_ids), len(drafts))

    def allowed_behind(self, drafts: Sequence[int]) -> Allowed:
        """What is allowed behind all of these drafts, which are allowed; bool [V]."""
        if self.legal and not self.ended and self.before_an_end(drafts) == len(drafts):
            with self.ahead() as ahead:
                if ahead.read(drafts) == len(drafts):
                    return unpacked(ahead.words(), self.size)
        allowed_V: Allowed = self.allowed(drafts)[-1]
        return allowed_V

    @abstractmethod
    def restart(self) -> None: ...

    @abstractmethod
    def read(self, tokens: Sequence[int]) -> int:
        """Go on by tokens as long as they are allowed, none of which is an end token; how many were. No further calls where
        one was not."""
        ...

    @abstractmethod
    def may_end(self) -> bool: ...

    @abstractmethod
    def fill(self, drafts: Sequence[int], words_XW: Words) -> int:
        """Write what is allowed behind none, one, .. all of the drafts, none of which is an end token, as far as they are
        allowed; how many of these were written."""
        ...

    @abstractmethod
    def ahead(self) -> Ahead:
        """Reads on from here, for a try. The text must not be asked before that is closed."""
        ...


class Ahead(ABC):
    """Reads on from where a text is, which stays there once this is closed. ended: was an end token read?"""

    def __init__(self, text: GrammarText) -> None:
        self.text, self.ended = text, text.ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, tokens: Sequence[int]) -> int:
        """Read tokens as long as they are allowed, and none behind an end token; how many were."""
        if self.ended:
            return 0
        before = self.text.before_an_end(tokens)
        count = self.read(tokens[:before])
        if count == before < len(tokens) and self.may_end():
            self.ended, count = True, count + 1
        return count

    @abstractmethod
    def read(self, tokens: Sequence[int]) -> int:
        """`take`, of tokens none of which is an end token."""
        ...

    @abstractmethod
    def may_end(self) -> bool: ...

    @abstractmethod
    def words(self) -> Words:
        """What may come next, to be read only [W]; no end token was read before."""
        ...

    def close(self) -> None:
        """The text is where it was."""
        return


def words_of(size: int) -> int:
    """Words that a vocabulary takes."""
    return -(-size // 32)


def packed(allowed_V: Allowed) -> Words:
    """Bits in words [W]; those behind the vocabulary are 0."""
    bytes_ = np.packbits(allowed_V, bitorder="little")
    return np.pad(bytes_, (0, -len(bytes_) % 4)).view(np.int32)


def unpacked(words: Words, size: int) -> Allowed:
    """bool [V], or of several [X, V]."""
    bits = np.unpackbits(words.view(np.uint8), axis=-1, count=size, bitorder="little")
    return bits.view(np.bool_)


def only_token(words_W: Words) -> int | None:
    """The id whose bit alone is set."""
    (at,) = words_W.nonzero()
    word = int(words_W[at[0]]) & 0xFFFFFFFF if len(at) == 1 else 0
    return int(at[0]) * 32 + word.bit_length() - 1 if word and word & (word - 1) == 0 else None
