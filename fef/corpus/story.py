"""A short story about up to four numbers with several questions, some of which need only two of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Story"]


@dataclass(frozen=True)
class Story:
    """A story about the numbers a, b, c and d, and what may be asked about it.

    questions: each with the expression that answers it.
    less: pairs of numbers of which the first is the smaller one; small: numbers up to twelve; enough: an expression that is
    positive in a story that makes sense.
    """

    text: str
    questions: tuple[tuple[str, str], ...]
    less: tuple[str, ...] = ()
    small: str = ""
    enough: str = ""
