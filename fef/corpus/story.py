"""A short story about up to four numbers with several questions, some of which need only two of them.

`two_kinds` has such stories; here is what one is, and how a problem is drawn from it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fef.corpus.equations import worked_steps
from fef.corpus.example import Solved
from fef.corpus.expressions import Expression, evaluate, parse
from fef.corpus.phrases import cast_of, told
from fef.corpus.sums import as_sums

__all__ = ["Story", "draw_from"]

_TRIES = 60
_SMALL = 12
_LARGEST = (20, 99, 99, 999)


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


def draw_from(stories: Sequence[Story], rng: random.Random) -> Solved | None:
    """One of the stories with one of its questions and the worked answer; None where its numbers do not work out soon."""
    story = rng.choice(stories)
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
