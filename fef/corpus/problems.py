"""Solved problems as sources: as they are, and with other numbers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from fef.corpus.check import is_worked_out
from fef.corpus.example import Solved
from fef.corpus.sums import as_sums
from fef.corpus.template import Refused, Template, template_of
from fef.corpus.variation import draw_values, written

__all__ = ["Variations", "variations_of"]

_TRIALS = 4
_MOST_WEIGHT = 4


@dataclass(frozen=True)
class Variations:
    """Templates, and how many problems gave none, by the reason."""

    templates: list[Template]
    refused: Counter[str]

    def vary_one(self, rng: random.Random) -> Solved | None:
        """A variation of a random template; None where its numbers do not work out."""
        return vary(self.any_template(rng), rng)

    def any_template(self, rng: random.Random) -> Template:
        """One with several free numbers more often, as it has more variations."""
        (template,) = rng.choices(self.templates, cum_weights=self.cumulative_weights)
        return template

    @cached_property
    def cumulative_weights(self) -> list[int]:
        return list(accumulate(min(len(template.ranges), _MOST_WEIGHT) for template in self.templates))


def vary(template: Template, rng: random.Random) -> Solved | None:
    values = draw_values(template, rng)
    if values is None:
        return None
    found = Solved(*written(template, values))
    return found if is_worked_out(found.solution) and as_sums(found.solution) is not None else None


def variations_of(problems: Iterable[Solved]) -> Variations:
    """The templates whose first variations all hold: one that fails has a number that no mark accounts for."""
    templates: list[Template] = []
    refused: Counter[str] = Counter()
    for problem in problems:
        try:
            template = template_of(problem.question, problem.solution)
        except Refused as reason:
            refused[str(reason)] += 1
            continue
        if stands_trial(template):
            templates.append(template)
        else:
            refused["variations do not work out"] += 1
    return Variations(templates, refused)


def stands_trial(template: Template) -> bool:
    rng = random.Random(0)
    return all(vary(template, rng) is not None for _ in range(_TRIALS))
