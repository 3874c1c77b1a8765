"""What follows from a record: the fastest of the rivals that are as accurate."""

from __future__ import annotations

from fef.bench.engine.serving import ENGINE, Served
from fef.measure.record import Record

__all__ = ["MARGIN", "accuracies", "as_accurate", "fastest", "our_row"]

MARGIN = 1.0
"""Points of accuracy below `fef` up to which a decoder counts as equally accurate."""

Name = tuple[str, str]  # method, where


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
    """The rivals at most `MARGIN` points below `fef` in the engine: other methods, for `fef` in the loop is none."""
    found = accuracies(record)
    ours = "fef", ENGINE
    if ours not in found:
        return set()
    return {name for name, accuracy in found.items() if name[0] != "fef" and accuracy >= found[ours] - MARGIN - 1e-9}


def fastest(record: Record, batch: int) -> Served | None:
    """The rival of most tokens per second, idealised, among those that are as accurate."""
    kept = as_accurate(record)
    rows = [row for row in record.of(Served) if row.batch == batch and (row.method, row.where) in kept]
    return max(rows, key=best_rate, default=None)
