"""What a growing list of tokens decodes to, without decoding its beginning again.

Behind a whole character nothing changes the text before. So only the tokens behind the last such place are decoded anew, with
a few before them, since a decoder may take a space off the first token. Where bytes are no characters there may be no such
place; then what four more bytes leave unchanged is settled, as no character is longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["UNFINISHED", "GrowingText"]

UNFINISHED = "\ufffd"  # what bytes of a part of a character decode to

_CHARACTER = 4  # bytes of a character at most; a token that has text has one or more


class GrowingText:
    """decode: from tokens, whose texts follow one another, to text."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self.decode = decode
        self.before: list[int] = []  # the last tokens whose text is settled
        self.before_length = 0  # of what they decode to
        self.behind: list[int] = []  # tokens since
        self.tail = ""  # their text
        self.settled = self.solid = 0  # characters before it, and without unfinished ones at their end
        self.kept = ""  # the last of those characters

    @property
    def length(self) -> int:
        """Characters."""
        return self.settled + len(self.tail)

    @property
    def finished_length(self) -> int:
        """Characters without unfinished ones at the end."""
        tail = self.tail.rstrip(UNFINISHED)
        return self.settled + len(tail) if tail else self.solid

    def since(self, start: int) -> str:
        """The text from a character on; what comes before it is forgotten."""
        before = max(0, self.settled - start)
        assert before <= len(self.kept), "what was asked for before begins no later"
        self.kept = self.kept[len(self.kept) - before :]
        return self.kept + self.tail[max(0, start - self.settled) :]

    def add(self, ids: Sequence[int]) -> None:
        self.behind += ids
        self.tail = self.text_of(len(self.behind))
        if not self.tail.endswith(UNFINISHED):
            self.settle(len(self.behind), self.tail)
            return
        most = len(self.behind) - _CHARACTER
        for count in range(most, max(0, most - _CHARACTER), -1):  # one of them is between two characters
            text = self.text_of(count)
            if self.tail.startswith(text) and len(self.tail) >= len(text) + _CHARACTER:
                self.settle(count, text)
                return

    def text_of(self, count: int) -> str:
        """Of the first tokens that are not settled."""
        return self.decode([*self.before, *self.behind[:count]])[self.before_length :]

    def settle(self, count: int, text: str) -> None:
        tokens = [*self.before, *self.behind[:count]]
        del self.behind[:count]
        self.tail = self.tail[len(text) :]
        if finished := text.rstrip(UNFINISHED):
            self.solid = self.settled + len(finished)
        self.settled += len(text)
        self.kept += text
        size, shown = _CHARACTER, self.decode(tokens[-_CHARACTER:])
        while len(shown) < _CHARACTER and size < len(tokens):
            size *= 2
            shown = self.decode(tokens[-size:])
        self.before, self.before_length = tokens[-size:], len(shown)
