"""A sentence of a story, and what it does to the amount that the story is about: `v` before it.

Slots of its text: see `fef.corpus.phrases.cast_of`; {f} is a fraction p/q in words.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Move"]


@dataclass(frozen=True)
class Move:
    """text: a sentence with alternatives and slots; sum: the amount after it; numbers: what is drawn for it, in order (a name
    and a range, or a relation to v); to: the kind of amount that it leads to, else the same; undo: the amount before it, from
    the one after it."""

    text: str
    sum: str
    numbers: str = ""
    to: str = ""
    undo: str = ""
