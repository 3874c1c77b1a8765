"""Short problems with a sentence that does not matter: of another person and other things."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fef.corpus.example import Solved
from fef.corpus.numerals import Numeral, render, split
from fef.corpus.quantities import range_of, unit_of

__all__ = ["Fillers", "with_filler"]

_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")
_OPENING = re.compile(
    r"(?!(?:The|He|She|It|They|If|Now|Then|Each|Every|Later|After|When|How|What|In|On|At|For|His|Her)\b)[A-Z][a-z]+ [a-z]"
)
# A question with such a word may seem to ask about whoever stands before it.
_POINTS_BACK = re.compile(
    r"\b(?:he|she|they|it|his|her|him|their|them|these|those|there|all|altogether|total)\b", re.IGNORECASE
)
_POINTS = re.compile(
    r"\b(?:he|she|they|it|his|her|him|their|them|these|those|more|fewer|less|also|rest|other|same|each)\b",
    re.IGNORECASE,
)
_MOST_WORDS = 16


@dataclass(frozen=True)
class Fillers:
    """Sentences with one number, each about someone; by the name that begins it and the unit it counts."""

    sentences: Sequence[tuple[str, str, str]]

    @classmethod
    def of(cls, questions: Iterable[str]) -> Fillers:
        found = []
        for question in questions:
            for sentence in _SENTENCE.split(question)[:-1]:
                pieces = split(sentence)
                counted = [at for at, piece in enumerate(pieces) if isinstance(piece, Numeral) and piece.value != 1]
                plain = sentence.endswith(".") and not _POINTS.search(sentence) and len(sentence.split()) <= _MOST_WORDS
                if plain and len(counted) == 1 and _OPENING.match(sentence) and (unit := unit_of(pieces, counted[0])):
                    found.append((sentence.split()[0], unit, sentence))
        return cls(sorted(set(found)))


def with_filler(problem: Solved, fillers: Fillers, rng: random.Random) -> Solved | None:
    """The problem with a filler in its story; None where none fits or what follows could be about the filler."""
    *story, question = _SENTENCE.split(problem.question)
    places = [at for at in range(1, len(story) + 1) if not _POINTS_BACK.search((*story, question)[at])]
    if not places or not question.endswith("?") or _POINTS_BACK.search(question) or story[0].startswith("If "):
        return None
    name, unit, sentence = rng.choice(fillers.sentences)
    lowered = problem.question.lower()
    if name.lower() in lowered or unit in lowered:
        return None
    story.insert(rng.choice(places), renumbered(sentence, rng))
    return Solved(" ".join([*story, question]), problem.solution)


def renumbered(sentence: str, rng: random.Random) -> str:
    pieces = split(sentence)
    values = {piece.value: piece.value for piece in pieces if isinstance(piece, Numeral)}
    for at, piece in enumerate(pieces):
        allowed = range_of(pieces, at) if isinstance(piece, Numeral) else None
        if isinstance(piece, Numeral) and allowed is not None and allowed.allows(new := allowed.draw(rng)):
            values[piece.value] = new
    return render(pieces, values)
