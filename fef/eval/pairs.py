"""Two saved runs over the same problems, and whether one of them is the more accurate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from fef.errors import OptionError, nearest_hint
from fef.eval.outcome import DIGITS, Outcome
from fef.measure.intervals import discordant, mcnemar

__all__ = ["LEVEL", "Pair", "names_of", "pair_of", "pairs_of"]

LEVEL = 0.01
"""Of McNemar's test, below which one run is called the more accurate."""


@dataclass(frozen=True)
class Pair:
    """Two runs on the problems that both answered."""

    task: str
    first: str  # label
    second: str  # label
    problems: int  # that both answered
    first_right: int
    second_right: int
    only_first: int  # problems that the second has wrong
    only_second: int  # problems that the first has wrong
    p: float  # of McNemar's exact test, two-sided
    same: int  # problems with equal answers


def pair_of(first: Outcome, second: Outcome) -> Pair:
    """The first problems of the task's file, as many as the shorter run has. Raises OptionError for runs over different
    files."""
    if (first.task, first.identity.get("file")) != (second.task, second.identity.get("file")):
        raise OptionError(
            f"{first.label} answered {first.task} and {second.label} {second.task}, from files that differ; only runs over "
            "the same file can be compared problem by problem."
        )
    both = list(zip(first.rights, second.rights, strict=False))
    rights = [a == "1" for a, _ in both], [b == "1" for _, b in both]
    only_first, only_second = discordant(*rights)
    return Pair(
        task=first.task,
        first=first.label,
        second=second.label,
        problems=len(both),
        first_right=sum(rights[0]),
        second_right=sum(rights[1]),
        only_first=only_first,
        only_second=only_second,
        p=mcnemar(only_first, only_second),
        same=sum(a == b for a, b in zip(digests(first), digests(second), strict=False)),
    )


def digests(outcome: Outcome) -> list[str]:
    return [outcome.digests[i : i + DIGITS] for i in range(0, len(outcome.digests), DIGITS)]


def pairs_of(outcomes: Sequence[Outcome], against: str | None = None) -> list[Pair]:
    """Every two runs of one task, named with their model where several have the same method; against: only those with the run
    of this name. Raises as `pair_of`, and OptionError for a name that no run has."""
    names = names_of(outcomes)
    if against is not None and against not in names:
        raise OptionError(f"No run is called {against!r}.{nearest_hint(against, names)}")
    named = [replace(outcome, label=name) for outcome, name in zip(outcomes, names, strict=True)]
    return [
        pair_of(a, b) for a, b in combinations(named, 2) if a.task == b.task and against in (None, a.label, b.label)
    ]


def names_of(outcomes: Sequence[Outcome]) -> list[str]:
    """What each is called among the others."""
    times = Counter((outcome.task, outcome.label) for outcome in outcomes)
    return [
        f"{outcome.identity.get('model')}: {outcome.label}" if times[outcome.task, outcome.label] > 1 else outcome.label
        for outcome in outcomes
    ]
