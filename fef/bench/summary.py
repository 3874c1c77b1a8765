"""Results as rows of numbers, each beside the same checkpoint's `sequential` where that was run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fef.bench.acceptance import Acceptance
from fef.bench.evaluate import Result
from fef.measure.answers import Totals, totals
from fef.measure.intervals import difference_interval

__all__ = ["ALL_FAMILIES", "Row", "summarize", "with_all_families"]

ALL_FAMILIES = "all families"


@dataclass(frozen=True)
class Row:
    """One method on one family, and `sequential` on the same problems; None without it."""

    result: Result
    found: Totals
    base: Totals | None  # of `sequential`
    difference: tuple[float, float, float] | None  # of accuracy to it, points, with its paired bootstrap 95 % interval
    predicted: float | None  # of `pass_speedup`, by the closed form from the measured acceptance; None without drafts

    def ratio(self, counter: str) -> float | None:
        """One of its totals as a multiple of that of `sequential`; None where either is not known."""
        of_base = None if self.base is None else getattr(self.base, counter)
        return getattr(self.found, counter) / of_base if of_base else None

    @property
    def pass_speedup(self) -> float:
        """Passes that one token per pass takes (`sequential`, if it was run) over those taken."""
        return self.found.tokens_per_call * passes_per_token(self.base)

    @property
    def time_speedup(self) -> float | None:
        """Seconds that `sequential` takes over those taken; None where either is not known."""
        ratio = self.ratio("seconds")
        return 1 / ratio if ratio else None

    @property
    def below_prediction(self) -> bool:
        return self.predicted is not None and self.pass_speedup < self.predicted


def passes_per_token(base: Totals | None) -> float:
    """Of one-token decoding: measured, or one."""
    return 1.0 if base is None else base.calls / max(1, base.tokens)


def summarize(results: Sequence[Result], seed: int) -> list[Row]:
    """One row per result, and after them one per method over all families."""
    every = with_all_families(results)
    rows = []
    for family in dict.fromkeys(r.family for r in every):
        found = [r for r in every if r.family == family]
        base = baseline(found)
        rows += [row_of(result, base, seed) for result in found]
    return rows


def with_all_families(results: Sequence[Result]) -> list[Result]:
    """And behind them, of several families, those of the methods that were run on all of them, together."""
    together = []
    for label in dict.fromkeys(r.spec.label for r in results):
        found = [r for r in results if r.spec.label == label]
        if len(found) == len({r.family for r in results}) > 1:
            answers = tuple(answer for r in found for answer in r.answers)
            acceptance = Acceptance.pooled(r.acceptance for r in found)
            together.append(replace(found[0], family=ALL_FAMILIES, answers=answers, acceptance=acceptance))
    return [*results, *together]


def baseline(results: Sequence[Result]) -> Result | None:
    """The `sequential` that others are held against: the one with default options, else the first."""
    found = [r for r in results if r.spec.name == "sequential"]
    return min(found, key=lambda r: bool(r.spec.options), default=None)


def row_of(result: Result, base: Result | None, seed: int) -> Row:
    found, difference = totals(result.answers), None
    if base is not None:
        rights = [a.right for a in result.answers], [a.right for a in base.answers]
        low, high = difference_interval(*rights, seed)
        difference = 100 * (sum(rights[0]) - sum(rights[1])) / found.problems, 100 * low, 100 * high
    of_base = None if base is None else totals(base.answers)
    per_round = found.calls / max(1, found.rounds)
    predicted = result.acceptance.predicted(per_round, passes_per_token(of_base))
    return Row(result, found, of_base, difference, predicted)
