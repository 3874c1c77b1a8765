"""Two problems in one: the answer of the first is a number of the second, which says `that many`."""

from __future__ import annotations

import random
import re

from fef.corpus.check import MARK, is_worked_out
from fef.corpus.example import Solved
from fef.corpus.numerals import Number, Numeral, numerals, render
from fef.corpus.problems import Variations
from fef.corpus.sums import as_sums
from fef.corpus.template import Template
from fef.corpus.variation import follow, written
from fef.eval.numbers import final_number

__all__ = ["draw"]

_TRIES = 40
_LARGEST = 400
_THINGS_AFTER = re.compile(r" (?!(?:more|of|times|percent|and|or|dollars|cents|o'clock|years? old)\b)[a-z]+s\b")
_BEFORE = re.compile(
    r"(?<!\bevery)(?<!\beach)(?<!\banother)(?<!\ba)(?<!\bthe)(?<!\babout)(?<!\bfirst)(?<!\blast) $", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.?!]\s")
_THAT_MANY = {True: "That many", False: "that many"}


def draw(first: Variations, second: Variations, rng: random.Random) -> Solved | None:
    """A variation of one problem, then another problem in whose first sentence its answer stands; None where none fits."""
    template = second.any_template(rng)
    slot = slot_of(template)
    start = None if slot is None else first.vary_one(rng)
    if slot is None or start is None or not start.question.endswith("?") or start.question.startswith("If "):
        return None
    answer = final_number(start.solution)
    if answer is None or not answer.isdigit() or not 3 <= int(answer) <= _LARGEST:
        return None
    values = values_with(template, slot, int(answer), rng)
    if values is None:
        return None
    pieces = [f"{_THAT_MANY[at == 0]}" if piece is slot else piece for at, piece in enumerate(template.question)]
    end = written(template, values)[1]
    marks = [f"<<{left}={right}>>" for solution in (start.solution, end) for left, right in MARK.findall(solution)]
    solution = "\n".join([*marks, end.splitlines()[-1]])
    if not is_worked_out(end) or as_sums(solution) is None:
        return None
    return Solved(f"{start.question} {render(pieces, values)}", solution)


def slot_of(template: Template) -> Numeral | None:
    """A free number of the first sentence that stands once in the question and counts things."""
    pieces = template.question
    for at, piece in enumerate(pieces):
        before, after = "".join(map(str, pieces[at - 1 : at])), "".join(map(str, pieces[at + 1 : at + 2]))
        if isinstance(piece, str):
            if _SENTENCE_END.search(piece):
                return None
        elif (
            piece.value in template.ranges
            and [other.value for other in numerals(pieces)].count(piece.value) == 1
            and (not before or _BEFORE.search(before))
            and _THINGS_AFTER.match(after)
        ):
            return piece
    return None


def values_with(template: Template, slot: Numeral, value: Number, rng: random.Random) -> dict[Number, Number] | None:
    """Numbers for the template of which one is given; None where none work out soon."""
    for _ in range(_TRIES):
        values = {number: number for number in template.constants}
        for number, ranges in template.ranges.items():
            values[number] = ranges[0].draw(rng)
            if number != slot.value and not all(allowed.allows(values[number]) for allowed in ranges):
                break
        else:
            values[slot.value] = value
            if follow(template, values):
                return values
    return None
