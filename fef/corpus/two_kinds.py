"""Short stories that give more numbers than a question needs: two kinds of things, two people or two days.

One story has several questions, some turned around, so that the words of the question alone do not give the operation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from fef.corpus.equations import worked_steps
from fef.corpus.expressions import Expression, evaluate, parse
from fef.corpus.problems import Solved
from fef.tasks.inventory import COLOURS, CONTAINERS, NAMES, PLACES, THINGS

__all__ = ["STORIES", "draw"]

_TRIES = 60
_SMALL = 12
_LARGEST = (20, 99, 99, 999)


@dataclass(frozen=True)
class Story:
    """A story about the numbers a, b, c and d, and what may be asked about it.

    questions: each with the expression that answers it and what the answer counts: a word of the cast, another, or nothing.
    less: pairs of numbers of which the first is the smaller one; small: numbers up to twelve; enough: an expression that is
    positive in a story that makes sense.
    """

    text: str
    questions: tuple[tuple[str, str, str], ...]
    less: tuple[str, ...] = ()
    small: str = ""
    enough: str = ""


STORIES: tuple[Story, ...] = (
    Story(
        "{A} has {a} {red} {u} and {b} {blue} {u}. {He} gives away {c} {red} {u} and {d} {blue} {u}.",
        (
            ("How many {red} {u} does {A} have left?", "a - c", "u"),
            ("How many {blue} {u} does {A} have left?", "b - d", "u"),
            ("How many {u} did {A} give away?", "c + d", "u"),
            ("How many {u} did {A} have at first?", "a + b", "u"),
            ("How many {u} does {A} have left in all?", "( a + b ) - ( c + d )", "u"),
        ),
        ("ca", "db"),
    ),
    Story(
        "{A} collected {a} {u} and {b} {u2} on Monday. On Tuesday {he} collected {c} {u} and {d} {u2}.",
        (
            ("How many {u} did {A} collect in all?", "a + c", "u"),
            ("How many {u2} did {A} collect in all?", "b + d", "u2"),
            ("How many more {u} did {A} collect on Tuesday than on Monday?", "c - a", "u"),
            ("How many things did {A} collect on Monday?", "a + b", ""),
        ),
        ("ac",),
    ),
    Story(
        "There are {a} {u} in each {box1}. {A} has {b} {box}, and {B} has {c} {u2}.",
        (
            ("How many {u} does {A} have?", "a * b", "u"),
            ("How many {u} would be in {d} such {box}?", "a * d", "u"),
        ),
        small="bd",
    ),
    Story(
        "{A} needs {a} {u} for a party. {He} has already bought {b} {u} and {c} {u2}.",
        (
            ("How many more {u} does {A} need?", "a - b", "u"),
            ("How many things has {A} already bought?", "b + c", ""),
        ),
        ("ba",),
    ),
    Story(
        "{A} put {a} {u} into {b} {box}, with the same number in each. {He} also has {c} {u2}.",
        (("How many {u} are in each {box1}?", "a / b", "u"),),
        ("ba",),
        "b",
    ),
    Story(
        "A {box1} holds {a} {u}. {A} wants to pack {b} {u} and leaves {c} {u2} at home.",
        (("How many {box} does {A} need?", "b / a", "box"),),
        ("ab",),
        "a",
    ),
    Story(
        "{A} had {a} {u}. After {he} lost some of them, {he} had {b} {u} and {c} {u2}.",
        (
            ("How many {u} did {A} lose?", "a - b", "u"),
            ("How many things did {A} have in the end?", "b + c", ""),
        ),
        ("ba",),
    ),
    Story(
        "{A} gave {a} {u} to {B} and now has {b} {u} left. {B} has {c} {u2}.",
        (("How many {u} did {A} have at first?", "a + b", "u"),),
    ),
    Story(
        "{A} found some {u} at the {place}. {B} gave {him} {a} more, and now {A} has {b} {u}. They stayed for {c} hours.",
        (("How many {u} did {A} find at the {place}?", "b - a", "u"),),
        ("ab",),
        "c",
    ),
    Story(
        "{A} has {a} {u}. {B} has {b} more {u} than {A}, and {C} has {c} fewer {u} than {A}.",
        (
            ("How many {u} does {B} have?", "a + b", "u"),
            ("How many {u} does {C} have?", "a - c", "u"),
            ("How many {u} do {A} and {B} have together?", "a + ( a + b )", "u"),
            ("How many more {u} does {B} have than {C}?", "b + c", "u"),
        ),
        ("ca",),
    ),
    Story(
        "{A} has {b} fewer {u} than {B}. {B} has {a} {u} and {c} {u2}.",
        (
            ("How many {u} does {A} have?", "a - b", "u"),
            ("How many things does {B} have?", "a + c", ""),
        ),
        ("ba",),
    ),
    Story(
        "{A} has {a} {u}, which is {b} more than {B} has. {C} has {c} {u}.",
        (
            ("How many {u} does {B} have?", "a - b", "u"),
            ("How many {u} do {A} and {C} have together?", "a + c", "u"),
        ),
        ("ba",),
    ),
    Story(
        "One of the {u} costs $ {a} and one of the {u2} costs $ {b}. {A} has $ {c} and buys {d} of the {u}.",
        (
            ("How many dollars does {A} pay?", "a * d", "dollars"),
            ("How many dollars does {A} have left?", "c - ( a * d )", "dollars"),
        ),
        small="abd",
        enough="c - ( a * d )",
    ),
    Story(
        "{A} paid $ {a} for {b} {u}, all at the same price, and $ {c} for a bag.",
        (
            ("How many dollars did one of the {u} cost?", "a / b", "dollars"),
            ("How many dollars did {A} pay in all?", "a + c", "dollars"),
        ),
        ("ba",),
        "b",
    ),
    Story(
        "{A} spent $ {a} on {u} and $ {b} on {u2}. Before that {he} had $ {c}.",
        (
            ("How many dollars did {A} spend?", "a + b", "dollars"),
            ("How many dollars does {A} have now?", "( c - a ) - b", "dollars"),
            ("How many more dollars did {A} spend on {u} than on {u2}?", "a - b", "dollars"),
        ),
        ("ba",),
        enough="( c - a ) - b",
    ),
    Story(
        "There were {a} people on the train. At the {place}, {b} people got off and {c} people got on.",
        (
            ("How many people are on the train now?", "( a - b ) + c", "people"),
            ("How many more people got on than got off?", "c - b", "people"),
            ("How many people stayed on the train at the {place}?", "a - b", "people"),
        ),
        ("ba", "bc"),
    ),
    Story(
        "Some people were on the train. At the {place}, {a} people got off and {b} people got on, so that there are now {c}.",
        (("How many people were on the train before?", "( c - b ) + a", "people"),),
        ("bc",),
    ),
    Story(
        "{A} reads {a} pages on each of {b} days, and {c} pages on Sunday. The book has {d} chapters.",
        (
            ("How many pages does {A} read before Sunday?", "a * b", "pages"),
            ("How many pages does {A} read in all?", "( a * b ) + c", "pages"),
        ),
        small="bd",
    ),
    Story(
        "A school has {a} boys and {b} girls. This year {c} more boys and {d} more girls came.",
        (
            ("How many boys are in the school now?", "a + c", "boys"),
            ("How many girls are in the school now?", "b + d", "girls"),
            ("How many pupils came this year?", "c + d", "pupils"),
            ("How many more girls than boys were there before?", "b - a", "girls"),
        ),
        ("ab",),
    ),
    Story(
        "{A} walked {a} steps in the morning, {b} steps at noon and {c} steps in the evening. {B} walked {d} steps.",
        (
            ("How many steps did {A} walk?", "( a + b ) + c", "steps"),
            ("How many more steps did {A} walk in the evening than in the morning?", "c - a", "steps"),
            ("How many steps did {A} walk after the morning?", "b + c", "steps"),
        ),
        ("ac",),
    ),
    Story(
        "{A} baked {a} pies and {b} cakes, and sold {c} pies and {d} cakes.",
        (
            ("How many pies are left?", "a - c", "pies"),
            ("How many cakes are left?", "b - d", "cakes"),
            ("How many more pies than cakes did {A} sell?", "c - d", "pies"),
            ("How many more pies than cakes did {A} bake?", "a - b", "pies"),
        ),
        ("ca", "db", "dc", "ba"),
    ),
    Story(
        "In the morning {a} children were at the {place}, {b} of them boys. In the afternoon {c} children came.",
        (
            ("How many girls were at the {place} in the morning?", "a - b", "girls"),
            ("How many children came in all?", "a + c", "children"),
        ),
        ("ba",),
    ),
    Story(
        "Each of {a} rows in a hall has {b} seats. {c} seats are taken.",
        (
            ("How many seats are there?", "a * b", "seats"),
            ("How many seats are free?", "( a * b ) - c", "seats"),
        ),
        small="a",
        enough="( a * b ) - c",
    ),
    Story(
        "{A} shares {a} {u} and {b} {u2} equally among {c} friends.",
        (
            ("How many {u} does each friend get?", "a / c", "u"),
            ("How many {u2} does each friend get?", "b / c", "u2"),
        ),
        ("ca", "cb"),
        "c",
    ),
    Story(
        "{A} is {a} years old and {B} is {b} years old. {A} has {c} {u}.",
        (
            ("How many years older is {A} than {B}?", "a - b", "years"),
            ("How old will {B} be in {d} years?", "b + d", ""),
            ("How old was {A} {d} years ago?", "a - d", ""),
        ),
        ("ba", "da"),
        "abd",
    ),
)


def draw(rng: random.Random) -> Solved | None:
    """A story with one of its questions and the worked answer; None where its numbers do not work out soon."""
    story = rng.choice(STORIES)
    asked, formula, unit = rng.choice(story.questions)
    words = cast_of(rng)
    for _ in range(_TRIES):
        numbers = draw_numbers(story, rng)
        if not makes_sense(story, numbers):
            continue
        try:
            solution = worked_steps(expression_of(formula, numbers), unit=f" {words.get(unit, unit)}" if unit else "")
        except ValueError:
            continue
        if not solution.endswith("#### 1"):  # else what it counts would be one of them
            return Solved(f"{story.text} {asked}".replace("$ ", "$").format_map({**words, **numbers}), solution)
    return None


def draw_numbers(story: Story, rng: random.Random) -> dict[str, int]:
    largest = rng.choice(_LARGEST)
    numbers = {name: rng.randint(2, _SMALL if name in story.small else largest) for name in ("a", "b", "c", "d")}
    for _, formula, _ in story.questions:
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


def cast_of(rng: random.Random) -> Mapping[str, str]:
    names = rng.sample(sorted(NAMES), 3)
    he, him = NAMES[names[0]]
    things = rng.sample(THINGS, 2)
    red, blue = rng.sample(COLOURS, 2)
    box = rng.choice(CONTAINERS)
    return {
        **dict(zip("ABC", names, strict=True)),
        "he": he,
        "He": he.capitalize(),
        "him": him,
        "u": things[0],
        "u2": things[1],
        "red": red,
        "blue": blue,
        "box": box,
        "box1": box.removesuffix("es") if box == "boxes" else box.removesuffix("s"),
        "place": rng.choice(PLACES),
    }
