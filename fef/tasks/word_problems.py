"""Grade-school word problems: a short story of two to five operations, solved step by step.

A story is an opening, some events and a question, each drawn from a table of moves. Each step of the solution is said
in one of three ways, drawn freely: as in real text there is more than one right wording, and words of different
wordings do not mix.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from fef.tasks.inventory import COLOURS, CONTAINERS, NAMES, PLACES, THINGS
from fef.tasks.problem import Problem
from fef.tasks.story_moves import TOPICS, Move, Topic

__all__ = ["draw", "score"]

FAMILY = "word-problems"
_OPERATION_COUNTS = (2, 3, 4, 5)
_OPERATION_WEIGHTS = (20, 42, 33, 5)
# Characters of the worked steps; others are drawn again.
_STEPS_CHARACTERS = range(60, 240)
_SCENES = (
    "It is a warm day.",
    "{A} and {B} are friends.",
    "This is the story of {A}.",
    "{A} is at the {place} with {B}.",
    "It is a good day for {A} and {C}.",
    "{A} likes the {place}.",
    "{B}, {C} and {A} live near the {place}.",
)
_TOPIC_WEIGHTS = (5, 3, 2, 2)


def draw(rng: random.Random) -> Problem:
    """Draw one problem; its response ends in a line `#### answer`."""
    task = rng.choices(tuple(TOPICS), _TOPIC_WEIGHTS)[0]
    topic = TOPICS[task]
    operations = rng.choices(_OPERATION_COUNTS, _OPERATION_WEIGHTS)[0]
    while True:
        told = _tell(rng, topic, operations)
        if told is not None:
            prompt, steps, answer = told
            return Problem(FAMILY, task, prompt, f"{steps}\n#### {answer}", {"answer": answer})


_AFTER_MARK = re.compile(r"\s*\$?(-?\d+)(?![.,]?\d)")


def score(problem: Problem, response: str) -> bool:
    """Whether the number after the last `####` is the answer."""
    _, mark, end = response.rpartition("####")
    found = _AFTER_MARK.match(end) if mark else None
    return found is not None and found[1].isascii() and int(found[1]) == problem.check["answer"]


def _tell(rng: random.Random, topic: Topic, operations: int) -> tuple[str, str, int] | None:
    """Prompt, worked steps and answer of a story; None when the drawn moves or their numbers do not fit."""
    moves = _plot(rng, topic, operations)
    amounts = _work_out(rng, moves)
    if amounts is None:
        return None
    words = _cast(rng, topic)
    story, steps = [rng.choice(_SCENES).format_map(words)], []
    for move, values in zip(moves, amounts, strict=True):
        facts = {**words, **values}
        story.append(move.story.format_map(facts))
        if move.solution:
            steps.append(_say(rng, move.solution.format_map(facts)))
    solution = " ".join(steps)
    return (" ".join(story), solution, amounts[-1]["new"]) if len(solution) in _STEPS_CHARACTERS else None


_EQUATION = re.compile(r"\d+ [-+*/] \d+ = (\d+)")


def _say(rng: random.Random, step: str) -> str:
    """One of three ways to say a step: as it stands, with the equation first, or cut down to the equation.

    "After the sale, she has 9 - 6 = 3 hats." / "9 - 6 = 3. After the sale, she has 3 hats." / "So 9 - 6 = 3 hats."
    """
    return " ".join(_say_sentence(rng.randrange(3), sentence) for sentence in step.replace(". ", ".|").split("|"))


def _say_sentence(way: int, sentence: str) -> str:
    equation = _EQUATION.search(sentence)
    if equation is None or way == 0:
        return sentence
    if way == 1:
        return f"{equation[0]}. {sentence.replace(equation[0], equation[1])}"
    return f"So {sentence[equation.start() :]}"


def _plot(rng: random.Random, topic: Topic, operations: int) -> list[Move]:
    """An opening, one or more distinct events and a question with the asked number of operations in all."""
    while True:
        opening, question = rng.choice(topic.openings), rng.choice(topic.questions)
        left = operations - opening.operations - question.operations
        events: list[Move] = []
        for _ in range(2 * left):
            event = rng.choice(topic.events)
            if event.operations <= left and all(event is not other for other in events):
                events.append(event)
                left -= event.operations
        if events and left == 0:
            return [opening, *events, question]


def _work_out(rng: random.Random, moves: list[Move]) -> list[dict[str, int]] | None:
    """The numbers of each move, with the amount before it as `old`; None when an amount does not allow its move."""
    amount, worked = 0, []
    for move in moves:
        numbers = move.rule(rng, amount)
        if numbers is None:
            return None
        worked.append({"old": amount, **numbers._asdict()})
        amount = numbers.new
    return worked


def _cast(rng: random.Random, topic: Topic) -> Mapping[str, str]:
    """The people, things and places of one story by the names that the moves use for them."""
    names = rng.sample(tuple(NAMES), 4)
    she, her = NAMES[names[0]]
    things = rng.sample(THINGS, 4)
    red, blue = rng.sample(COLOURS, 2)
    box, tray = rng.sample(CONTAINERS, 2)
    place, place2 = rng.sample(PLACES, 2)
    return {
        **dict(zip("ABCD", names, strict=True)),
        "she": she,
        "She": she.capitalize(),
        "her": her,
        "u": topic.unit or things[0],
        "u2": things[1],
        "u3": things[2],
        "u4": things[3],
        "red": red,
        "Red": red.capitalize(),
        "blue": blue,
        "box": box,
        "tray": tray,
        "place": place,
        "place2": place2,
    }
