"""Stories of one scene with several questions: ages, averages, ratios, rates, areas, times, profits, and what remains."""

from __future__ import annotations

import random
import re

from fef.corpus.chain_asks import ASIDES
from fef.corpus.chains import Story, draw_numbers, solved, with_numbers, worked
from fef.corpus.example import Solved
from fef.corpus.numerals import plain
from fef.corpus.phrases import cast_of
from fef.corpus.scenes_of_parts import OF_PARTS
from fef.corpus.scenes_of_rates import OF_RATES
from fef.corpus.sums import as_sums

__all__ = ["SCENES", "draw"]

_TRIES = 40
_ASIDE = 0.4
_MONEY = ("$", "money", "dollars")
_BROKEN = re.compile(r" / (?!100 )\S+ = \d*\.")  # a division that leaves a part, as of a bag

SCENES = (*OF_PARTS, *OF_RATES)
_ASKED = tuple((scene, question) for scene in SCENES for question in scene.questions)


def draw(rng: random.Random) -> Solved | None:
    """A scene with one of its questions and the worked answer; None where its numbers do not work out soon."""
    scene, (asked, formula) = rng.choice(_ASKED)
    for _ in range(_TRIES):
        drawn = draw_numbers(scene.numbers, 0, rng)
        assert drawn is not None
        numbers, words = drawn
        filled = with_numbers(formula, numbers)
        answer = worked(filled)
        if answer is None or not (isinstance(answer, int) or any(word in asked for word in _MONEY)):
            continue
        story = Story(rng, cast_of(rng))
        story.say(scene.text, {**story.words, **words}, numbers)
        if rng.random() < _ASIDE:
            story.say(rng.choice(ASIDES), story.words, {name: rng.randint(3, 40) for name in "ab"})
        story.say(asked, {**story.words, **words}, numbers)
        found = solved(story.sentences, [f"<<{filled}={plain(answer, 2)}>>"], answer)
        if found is not None and not _BROKEN.search(as_sums(found.solution) or ""):
            return found
    return None
