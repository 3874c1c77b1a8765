"""An answer to a problem, from whatever decoded it, and the figures of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from fef.measure.fields import Count, Positive
from fef.measure.intervals import share_interval
from fef.text import Generation

__all__ = ["Answer", "Totals", "answer_of", "totals"]


@dataclass(frozen=True)
class Answer:
    """One problem's outcome. The counters are those of `fef.decoding.meter`."""

    right: bool  # was it solved?
    tokens: int  # of the answer, the end token among them, each counted once
    digest: str = ""  # equal for answers of equal token ids
    text: str = ""  # of the answer
    calls: int = 0  # forward passes
    rows: int = 0  # sequences in them
    token_forwards: int = 0  # tokens in them
    rounds: int = 0  # of drafts and verification
    seconds: float = 0.0  # its share of its batch
    index: int = 0  # the problem's place among those of the run
    id: str | None = None  # its name in its file, if it has one
    extracted: str | None = None  # what was judged, if it was found
    finish_reason: Literal["stop", "length"] = "stop"  # as in `fef.Generation`
    cut_characters: int = 0  # how much of the prompt's beginning was dropped


def answer_of(out: Generation, right: bool, **more: Any) -> Answer:
    """What is kept of a decoded text. right: is it the right answer? more: fields that the decoding does not tell."""
    stopped = out.finish_reason == "stop"
    counters: dict[str, Any] = {name: int(out.stats[name]) for name in ("calls", "rows", "token_forwards", "rounds")}
    return Answer(
        right=right,
        tokens=len(out.token_ids) + stopped,
        digest=sha256(repr((out.token_ids, stopped)).encode()).hexdigest()[:16],
        text=out.text,
        finish_reason=out.finish_reason,
        **counters,
        **more,
    )


@dataclass(frozen=True)
class Totals:
    """Answers in numbers."""

    problems: Count  # answered
    right: int  # of them
    accuracy: float  # %
    low: float  # of Wilson's 95 % interval, %
    high: float  # of Wilson's 95 % interval, %
    tokens: int  # of the answers, the end token among them, no padding
    calls: int  # forward passes
    tokens_per_call: Positive  # answer tokens over calls
    seconds: float  # of decoding, summed over processes
    tokens_per_second: float  # answer tokens over seconds
    cut: int  # prompts that lost their beginning to fit
    unfinished: int  # answers that filled the canvas without an end token
    rows: int = 0  # sequences in the passes
    token_forwards: int = 0  # tokens in those sequences
    rounds: int = 0  # of drafts and verification


def totals(answers: Sequence[Answer]) -> Totals:
    """Count at least one answer."""
    problems, summed = len(answers), ("right", "tokens", "calls", "seconds", "rows", "token_forwards", "rounds")
    sums = {name: sum(getattr(answer, name) for answer in answers) for name in summed}
    low, high = share_interval(sums["right"], problems)
    return Totals(
        problems=problems,
        accuracy=100 * sums["right"] / problems,
        low=100 * low,
        high=100 * high,
        tokens_per_call=sums["tokens"] / max(1, sums["calls"]),
        tokens_per_second=sums["tokens"] / sums["seconds"] if sums["seconds"] else 0.0,
        cut=sum(a.cut_characters > 0 for a in answers),
        unfinished=sum(a.finish_reason == "length" for a in answers),
        **sums,
    )
