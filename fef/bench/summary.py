"""Results as rows of numbers, each against the same checkpoint's `sequential` where that was run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.bench.acceptance import Acceptance
from fef.bench.evaluate import Result
from fef.measure.answers import totals
from fef.measure.intervals import difference_interval
from fef.measure.record import Record

__all__ = ["ALL_FAMILIES", "Row", "rows_of", "summarize"]

ALL_FAMILIES = "all families"


@dataclass(frozen=True)
class Row:
    """One method on one family. Ratios and differences are against `sequential` on the same problems; None without it."""

    family: str  # of problems
    method: str  # label
    problems: int  # answered
    accuracy: float  # %
    low: float  # of Wilson's 95 % interval, %
    high: float  # of Wilson's 95 % interval, %
    difference: float | None  # of accuracy, points
    difference_low: float | None  # of its paired bootstrap 95 % interval
    difference_high: float | None  # of its paired bootstrap 95 % interval
    calls: int  # summed over problems, as are rows, token_forwards and seconds
    tokens_per_call: float  # answer tokens with the end token, over calls
    rows: int  # sequences
    token_forwards: int  # tokens computed
    seconds: float  # of decoding
    calls_ratio: float | None  # a multiple of those of `sequential`
    rows_ratio: float | None  # likewise
    token_forwards_ratio: float | None  # likewise
    seconds_ratio: float | None  # likewise
    pass_speedup: float  # passes that one token per pass takes (`sequential`, if it was run) over those taken
    predicted_pass_speedup: float | None  # by the closed form from the measured acceptance; None without drafts
    certificate: str  # its kind

    @property
    def time_speedup(self) -> float | None:
        """Seconds that `sequential` takes over those taken; None where either is not known."""
        return 1 / self.seconds_ratio if self.seconds_ratio else None

    @property
    def below_prediction(self) -> bool:
        return self.predicted_pass_speedup is not None and self.pass_speedup < self.predicted_pass_speedup


def rows_of(record: Record) -> list[Row]:
    """The rows of a record of methods, counted from its answers."""
    return summarize(record.of(Result), record.setup["settings"]["seed"])


def summarize(results: Sequence[Result], seed: int) -> list[Row]:
    """One row per result, and after them one per method over all families, for methods that were run on all of several."""
    families = list(dict.fromkeys(r.family for r in results))
    if len(families) > 1:
        results = [*results, *pooled(results, len(families))]
    rows = []
    for family in dict.fromkeys(r.family for r in results):
        found = [r for r in results if r.family == family]
        base = baseline(found)
        rows += [row_of(result, base, seed) for result in found]
    return rows


def pooled(results: Sequence[Result], families: int) -> list[Result]:
    by_label: dict[str, list[Result]] = {}
    for result in results:
        by_label.setdefault(result.spec.label, []).append(result)
    return [
        Result(
            ALL_FAMILIES,
            found[0].spec,
            tuple(answer for r in found for answer in r.answers),
            sum(r.seconds for r in found),
            found[0].certificate,
            Acceptance.pooled(r.acceptance for r in found),
        )
        for found in by_label.values()
        if len(found) == families
    ]


def baseline(results: Sequence[Result]) -> Result | None:
    """The `sequential` that others are held against: the one with default options, else the first."""
    found = [r for r in results if r.spec.name == "sequential"]
    return min(found, key=lambda r: bool(r.spec.options), default=None)


def row_of(result: Result, base: Result | None, seed: int) -> Row:
    answers, found = result.answers, totals(result.answers)
    difference: tuple[float | None, ...] = (None, None, None)
    if base is not None:
        rights = [a.right for a in answers], [a.right for a in base.answers]
        differences = (sum(rights[0]) - sum(rights[1])) / found.problems, *difference_interval(*rights, seed)
        difference = tuple(100 * d for d in differences)
    # passes per token of one-token decoding: measured, or one
    one_token = 1.0 if base is None else total(base, "calls") / max(1, sum(a.tokens for a in base.answers))
    per_round = found.calls / max(1, total(result, "rounds"))

    def ratio(value: float, of_base: float) -> float | None:
        return value / of_base if of_base else None

    def against(counter: str) -> float | None:
        return None if base is None else ratio(total(result, counter), total(base, counter))

    return Row(
        family=result.family,
        method=result.spec.label,
        problems=found.problems,
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        difference=difference[0],
        difference_low=difference[1],
        difference_high=difference[2],
        calls=found.calls,
        tokens_per_call=found.tokens_per_call,
        rows=total(result, "rows"),
        token_forwards=total(result, "token_forwards"),
        seconds=result.seconds,
        calls_ratio=against("calls"),
        rows_ratio=against("rows"),
        token_forwards_ratio=against("token_forwards"),
        seconds_ratio=None if base is None else ratio(result.seconds, base.seconds),
        pass_speedup=found.tokens_per_call * one_token,
        predicted_pass_speedup=result.acceptance.predicted(per_round, one_token),
        certificate=result.certificate.kind,
    )


def total(result: Result, counter: str) -> int:
    return int(sum(getattr(a, counter) for a in result.answers))
