"""What a run measured, counted over its records, with a confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.eval.records import Record
from fef.intervals import wilson_interval

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True)
class Summary:
    """accuracy, low and high (Wilson's 95 % interval) in %. tokens: of the answers, the end token among them, no padding.

    seconds: of decoding, summed over processes. cut: prompts that lost their beginning to fit. unfinished: answers that
    filled the canvas without an end token.
    """

    problems: int
    right: int
    accuracy: float
    low: float
    high: float
    tokens: int
    calls: int
    tokens_per_call: float
    seconds: float
    tokens_per_second: float
    cut: int
    unfinished: int


def summarize(records: Sequence[Record]) -> Summary:
    """Count at least one record."""
    right = sum(r.right for r in records)
    low, high = wilson_interval(right, len(records))
    tokens, calls = sum(r.tokens for r in records), sum(r.calls for r in records)
    seconds = sum(r.seconds for r in records)
    return Summary(
        problems=len(records),
        right=right,
        accuracy=100 * right / len(records),
        low=100 * low,
        high=100 * high,
        tokens=tokens,
        calls=calls,
        tokens_per_call=tokens / max(1, calls),
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
        cut=sum(r.cut_characters > 0 for r in records),
        unfinished=sum(r.finish_reason == "length" for r in records),
    )
