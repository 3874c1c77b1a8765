"""Which shape the next round has: that of most expected tokens per second.

Tokens are expected from *calibrated* chances: how often drafts held in earlier rounds, set against what was predicted
before. Seconds are those of a whole round at this load (`fef.engine.costs`), since one round serves all requests. Neither
knows anything of what the round will draw.

A shape is judged by rounds that follow one of its own: drafts come from the round before, so that the first round behind
another shape says little. One token per pass drafts nothing and needs no judgment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fef.models.packed_pass import RoundShape

__all__ = ["FIRST_GUESS", "Calibration", "RoundTally", "Survival", "choose_shape"]

FIRST_GUESS = 0.9  # chance that a draft holds, before any was seen
_MEMORY = 500.0  # rounds of a request after which an observation counts half
_GUESSES = 8.0  # rounds of a shape that weigh as much as what other shapes say of it
_STAY = (
    1.02  # a shape that is in use stays unless another is that much faster: the first round of another has worse drafts
)


class Survival:
    """In what share of rounds the first i drafts all held, i = 1, 2, .., among rounds with i drafts in a row or more.

    That a round verified fewer, because they were not worth it, counts as not holding. Older rounds count less.
    """

    def __init__(self, longest: int) -> None:
        # before any round, as if a few had held with the first guess
        self.tried = np.full(longest, 4.0)
        self.held = 4.0 * FIRST_GUESS ** np.arange(1, longest + 1)

    def observe(self, depth: int, accepted: Sequence[int] | np.ndarray) -> None:
        """Drafts accepted in rounds of at most so many in a row."""
        place = np.arange(1, len(self.tried) + 1)
        self.tried += (place <= depth) * len(accepted)
        self.held += (place <= np.asarray(accepted)[:, None]).sum(0)
        fade = 1 / (1 + np.maximum(self.tried - _MEMORY, 0) / _MEMORY)
        self.tried, self.held = self.tried * fade, self.held * fade

    def tokens(self, depth: int) -> float:
        """Tokens that a round is expected to commit: the accepted drafts, and the one behind them."""
        chance = np.minimum.accumulate(self.held / self.tried)
        return 1.0 + float(chance[:depth].sum())


@dataclass
class RoundTally:
    """What rounds of a shape were expected to commit, and what they did. rounds: of the engine. rows: requests that went on
    behind them. predicted, tokens: drafts that hold, and one more per request; what is predicted was so before each round."""

    shape: RoundShape
    rounds: int = 0
    rows: int = 0
    predicted: float = 0.0
    tokens: int = 0


class Calibration:
    """Tokens per round of each shape: what its own rounds committed lately, and as far as there are few, what the drafts of
    other chains, or other trees, make likely."""

    def __init__(self, shapes: Sequence[RoundShape]) -> None:
        longest = max(1, *(shape.deepest for shape in shapes))
        self.survival = {tree: Survival(longest) for tree in (False, True)}
        self.rows = dict.fromkeys(shapes, 0.0)
        self.accepted = dict.fromkeys(shapes, 0.0)
        self.tallies = {shape: RoundTally(shape) for shape in shapes}

    def tokens(self, shape: RoundShape) -> float:
        """Tokens that a round of this shape is expected to commit per request."""
        if not shape.window:
            return 1.0
        guess = self.survival[shape.branching > 1].tokens(shape.deepest) - 1
        rows, accepted = self.rows[shape], self.accepted[shape]
        return 1 + (_GUESSES * guess + accepted) / (_GUESSES + rows)

    def observe(
        self, shape: RoundShape, accepted: Sequence[int] | np.ndarray, *, predicted: float, settled: bool
    ) -> None:
        """Drafts accepted in a round, by request. predicted: tokens that each was expected to get. settled: were the drafts
        left by a round of the same shape?"""
        tally, count = self.tallies[shape], len(accepted)
        tally.rounds += 1
        tally.rows += count
        tally.predicted += count * predicted
        tally.tokens += count + int(np.sum(accepted))
        if not shape.window or not settled:
            return
        self.survival[shape.branching > 1].observe(shape.deepest, accepted)
        # all shapes forget, so that one which lost long ago is judged anew by what drafts do now
        fade = 0.5 ** (count / _MEMORY)
        for other in self.rows:
            self.rows[other] *= fade
            self.accepted[other] *= fade
        self.rows[shape] += count
        self.accepted[shape] += float(np.sum(accepted))


def choose_shape(
    shapes: Sequence[RoundShape],
    tokens: Mapping[RoundShape, float],
    seconds: Mapping[RoundShape, float],
    current: RoundShape | None = None,
) -> RoundShape:
    """The shape of most expected tokens per second, from what is known of the seconds of a round.

    One whose cost is unknown comes first where it may be the best, so that it gets known: it costs no less than a known one
    of fewer tokens, and no smaller a part of a larger one's cost than its tokens are. Where nothing is known, that in the
    middle. current: of the round before.
    """
    if not seconds:
        return sorted(shapes, key=lambda shape: shape.tokens)[len(shapes) // 2]

    def least(shape: RoundShape) -> float:
        if shape in seconds:
            return seconds[shape]
        bounds = [cost if known.tokens <= shape.tokens else cost * shape.tokens / known.tokens
                  for known, cost in seconds.items() if known.tokens <= shape.tokens or cost < float("inf")]  # fmt: skip
        return max(bounds, default=0.0)

    def rate(shape: RoundShape) -> float:
        cost = least(shape)
        stays = _STAY if shape == current and shape in seconds else 1.0
        return stays * tokens[shape] / cost if cost > 0 else float("inf")

    return max(shapes, key=rate)
