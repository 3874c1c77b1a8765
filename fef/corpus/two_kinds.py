"""Problems of the short stories that give more numbers than a question needs.

One story has several questions, some turned around, so that the words of the question alone do not give the operation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from fef.corpus.equations import worked_steps
from fef.corpus.example import Solved
from fef.corpus.expressions import Expression, evaluate, parse
from fef.corpus.phrases import cast_of, told
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
from fef.corpus.story import Story
from fef.corpus.sums import as_sums

__all__ = ["STORIES", "draw"]

_TRIES = 60
_SMALL = 12
_LARGEST = (20, 99, 99, 999)

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
    story = rng.choice(STORIES)
    asked, formula = rng.choice(story.questions)
    words = cast_of(rng)
    for _ in range(_TRIES):
        numbers = draw_numbers(story, rng)
        if not makes_sense(story, numbers):
            continue
        try:
            solution = worked_steps(expression_of(formula, numbers))
        except ValueError:
            continue
        if as_sums(solution) and not solution.endswith("#### 1"):  # else what it counts would be one of them
            return Solved(told(f"{story.text} {asked}", words, numbers, rng), solution)
    return None


def draw_numbers(story: Story, rng: random.Random) -> dict[str, int]:
    largest = rng.choice(_LARGEST)
    numbers = {name: rng.randint(2, _SMALL if name in story.small else largest) for name in ("a", "b", "c", "d")}
    for _, formula in story.questions:
        above, divided, below = formula.partition(" / ")
        if divided:
            numbers[above] = numbers[below] * rng.randint(2, max(2, largest // numbers[below]))
    return numbers


def makes_sense(story: Story, numbers: Mapping[str, int]) -> bool:
    if len(set(numbers.values())) < len(numbers) or any(numbers[pair[0]] >= numbers[pair[1]] for pair in story.less):
        return False
    return not story.enough or evaluate(expression_of(story.enough, numbers)) > 0


def expression_of(formula: str, numbers: Mapping[str, int]) -> Expression:
    expression = parse("".join(str(numbers.get(symbol, symbol)) for symbol in formula))
    assert expression is not None
    return expression
