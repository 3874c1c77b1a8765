"""Problems of the short stories that give more numbers than a question needs.

One story has several questions, some turned around, so that the words of the question alone do not give the operation.
"""

from __future__ import annotations

import random

from fef.corpus.example import Solved
from fef.corpus.stories import (
    change,
    comparison,
    days,
    earning,
    groups,
    measures,
    money,
    moves,
    packing,
    pairs,
    parts,
    per_day,
    rooms,
    sharing,
    sizes,
    transfers,
    two_kinds,
)
from fef.corpus.story import Story, draw_from

__all__ = ["STORIES", "draw"]

STORIES: tuple[Story, ...] = tuple(
    story
    for module in (
        two_kinds,
        change,
        transfers,
        comparison,
        sizes,
        per_day,
        earning,
        groups,
        money,
        packing,
        pairs,
        rooms,
        sharing,
        days,
        measures,
        moves,
        parts,
    )
    for story in module.STORIES
)


def draw(rng: random.Random) -> Solved | None:
    """A story with one of its questions and the worked answer; None where its numbers do not work out soon."""
    return draw_from(STORIES, rng)
