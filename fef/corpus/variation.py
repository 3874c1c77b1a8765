"""New numbers for a template, and the problem that they make."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from fef.corpus.expressions import evaluate
from fef.corpus.numerals import Number, decimals, render
from fef.corpus.template import Step, Template

__all__ = ["draw_values", "follow", "written"]

_TRIES = 300
_SPREAD = 6  # a result may become this many times as large, or as small
_WRONG_ARTICLE = re.compile(r"\ban \$?(?!8|11\b|18\b)\d|\ba \$?(?:8\d*|11|18)\b(?![.,]\d)")


def written(template: Template, values: Mapping[Number, Number]) -> tuple[str, str]:
    """Question and solution, with its calculator marks, under these values."""
    return render(template.question, values), render(template.solution, values)


def original_values(template: Template) -> dict[Number, Number]:
    known = (*template.constants, *template.ranges, *(step.value for step in template.steps))
    return {value: value for value in known}


def draw_values(template: Template, rng: random.Random) -> dict[Number, Number] | None:
    """Other numbers for which every step is as whole as it was, positive and of like size; None where none is found soon.

    The longer it takes, the more numbers stay.
    """
    for attempt in range(_TRIES):
        values = {number: number for number in template.constants}
        keep = attempt / _TRIES
        for number, ranges in template.ranges.items():
            new = number if rng.random() < keep else ranges[0].draw(rng)
            if new != number and not all(allowed.allows(new) for allowed in ranges):
                break
            values[number] = new
        else:
            if follow(template, values):
                return values
    return None


def follow(template: Template, values: dict[Number, Number]) -> bool:
    """Add the results to the values; whether the problem still makes sense and is another one."""
    if all(values[number] == number for number in template.ranges):
        return False
    if any(values[low] >= values[high] for low, high in template.ascending):
        return False
    for step in template.steps:
        try:
            new = evaluate(step.expression, values)
        except ZeroDivisionError:
            return False
        if not like(step, new):
            return False
        values[step.value] = new
    return all(_WRONG_ARTICLE.search(text) is None for text in written(template, values))


def like(step: Step, new: Number) -> bool:
    """Whether a result may stand where the original one stood."""
    old = step.value
    places = decimals(new)
    return (
        new > 0
        and old <= _SPREAD * new
        and new <= _SPREAD * old
        and places is not None
        and places <= step.places
        and (new == 1) == (old == 1)
        and (new < 1) == (old < 1)
        and not (step.percentage and new > 100)
    )
