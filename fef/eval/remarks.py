"""Remarks that quote measured figures: `[[run]]`, `[[run vs other]]` and `[[run > other]]` become what the saved runs say.

A run is named by its file without `.json`; what was not measured is said to be so, so that a text can be written before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fef.errors import InputError
from fef.eval.outcome import Outcome
from fef.eval.pairs import LEVEL, Pair, pair_of
from fef.measure.table import p_words

__all__ = ["filled"]

MISSING = "not measured"
_FIGURE = re.compile(r"\[\[(.+?)\]\]")
_WORDS = re.compile(r"(\S+)(?:\s+(vs|>)\s+(\S+))?")


def filled(text: str, runs: Mapping[str, Outcome]) -> str:
    """The text with its figures. runs: by name. Raises InputError for a mark that is none of the three."""

    def figure(found: re.Match[str]) -> str:
        words = _WORDS.fullmatch(found[1].strip())
        if words is None:
            raise InputError(f"{found[0]} is no figure; write [[run]], [[run vs other]] or [[run > other]].")
        if any(name is not None and name not in runs for name in words.group(1, 3)):
            return MISSING
        first = runs[words[1]]
        if words[2] is None:
            return alone(first)
        second = runs[words[3]]
        return against(first, second) if words[2] == "vs" else verdict(pair_of(first, second))

    return _FIGURE.sub(figure, text)


def alone(run: Outcome) -> str:
    found = run.summary
    return (
        f"{found.accuracy:.1f} % ({found.low:.1f} to {found.high:.1f}, {found.problems:,} problems) at "
        f"{found.tokens_per_call:.2f} tokens per pass"
    )


def against(first: Outcome, second: Outcome) -> str:
    pair = pair_of(first, second)
    gain = 100 * (pair.first_right - pair.second_right) / pair.problems
    ratio = first.summary.tokens_per_call / second.summary.tokens_per_call
    return (
        f"{gain:+.1f} points on {pair.problems:,} problems ({pair_words(pair)}), {ratio:.2f} times the tokens per pass"
    )


def verdict(pair: Pair) -> str:
    if pair.p >= LEVEL:
        return f"not shown ({pair_words(pair)})"
    return f"{'yes' if pair.only_first > pair.only_second else 'no, the other way round'} ({pair_words(pair)})"


def pair_words(pair: Pair) -> str:
    return f"McNemar p = {p_words(pair.p)}, {pair.only_first} and {pair.only_second} that only one has right"
