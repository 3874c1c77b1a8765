"""What follows from a record: ratios to the rivals, the fastest of those as accurate, and one token per pass on a shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.bench.engine.passes import FULL, ROUND, PassRow
from fef.bench.engine.serving import ENGINE, Served
from fef.measure.record import Record

__all__ = ["MARGIN", "OneToken", "accuracies", "as_accurate", "best_rate", "fastest", "one_token", "our_row"]

MARGIN = 1.0
"""Points of accuracy below `fef` up to which a decoder counts as equally accurate."""

Name = tuple[str, str]  # method, where


@dataclass(frozen=True)
class OneToken:
    """Decoding `tokens` tokens of each of `batch` canvases of as many, one token per pass. full: seconds by full passes;
    rounds: by one-token rounds of the engine. round: seconds of its widest round. gain: full passes per round."""

    batch: int
    tokens: int
    full: float
    rounds: float
    round: float
    gain: float


def our_row(record: Record, batch: int) -> Served | None:
    """`fef` in the engine at this batch size."""
    found = [r for r in record.of(Served) if (r.batch, r.method, r.where) == (batch, "fef", ENGINE)]
    return found[0] if found else None


def best_rate(row: Served) -> float:
    """Tokens per second, idealised for a decoder of the loop."""
    return max(row.rate, row.ideal_rate or 0.0)


def accuracies(record: Record) -> dict[Name, float]:
    """In %, of each method at the batch size where it answered most problems: batches do not change what is drawn."""
    most: dict[Name, Served] = {}
    for row in record.of(Served):
        name = row.method, row.where
        if name not in most or row.problems > most[name].problems:
            most[name] = row
    return {name: row.accuracy for name, row in most.items()}


def as_accurate(record: Record) -> set[Name]:
    """The methods at most `MARGIN` points below `fef` in the engine, itself not among them."""
    found = accuracies(record)
    ours = "fef", ENGINE
    if ours not in found:
        return set()
    return {name for name, accuracy in found.items() if name != ours and accuracy >= found[ours] - MARGIN - 1e-9}


def fastest(record: Record, batch: int) -> Served | None:
    """The rival of most tokens per second, idealised, among those that are as accurate."""
    kept = as_accurate(record)
    rows = [row for row in record.of(Served) if row.batch == batch and (row.method, row.where) in kept]
    return max(rows, key=best_rate, default=None)


def one_token(record: Record) -> list[OneToken]:
    """For every batch size of which the passes are known."""
    found = []
    tokens = record.setup["canvas"]
    for batch in record.setup["batches"]:
        full = of_kind(record.of(PassRow), batch, FULL)
        rounds = sorted(of_kind(record.of(PassRow), batch, ROUND), key=lambda row: row.tokens)
        if full and rounds and rounds[0].window == 0:
            widest, unit = rounds[-1].seconds, full[0].seconds
            found.append(OneToken(batch, tokens, tokens * unit, tokens * rounds[0].seconds, widest, unit / widest))
    return found


def of_kind(passes: Sequence[PassRow], batch: int, kind: str) -> list[PassRow]:
    return [row for row in passes if (row.batch, row.kind) == (batch, kind)]
