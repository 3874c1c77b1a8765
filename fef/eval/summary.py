"""What a run measured, counted over its records, with a confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.eval.records import Record
from fef.intervals import wilson_interval

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True)
class Summary:
    """A run in numbers."""

    problems: int  # answered
    right: int  # of them
    accuracy: float  # %
    low: float  # of Wilson's 95 % interval, %
    high: float  # of Wilson's 95 % interval, %
    tokens: int  # of the answers, the end token among them, no padding
    calls: int  # forward passes
    tokens_per_call: float  # answer tokens over calls
    seconds: float  # of decoding, summed over processes
    tokens_per_second: float  # answer tokens over seconds
    cut: int  # prompts that lost their beginning to fit
    unfinished: int  # answers that filled the canvas without an end token


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
