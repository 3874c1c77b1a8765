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

__all__ = ["FIRST_GUESS", "Acceptance", "Calibration", "RoundTally", "choose_shape"]

FIRST_GUESS = 0.8  # chance that a draft holds, before any was seen
_FIRST_TRIES = 10.0  # before any round, as if so many had held with the first guess
_MEMORY = 500.0  # rounds of a request, or drafts, after which an observation counts half or less
_MEMORY_OF_ROUNDS = 200.0  # of one token, after which what is known of drafts counts half
_GUESSES = 8.0  # rounds of a shape that weigh as much as what other shapes say of it
# a shape in use stays unless another is that much faster: the first round of another has worse drafts
_STAY = 1.02


class Acceptance:
    """The chance that a draft holds behind drafts that held, one for all depths, as it was lately.

    That a round verified fewer drafts than it has room for, because they were not worth it, counts as one that did not hold.
    """

    def __init__(self) -> None:
        self.tried, self.held = _FIRST_TRIES, _FIRST_TRIES * FIRST_GUESS

    def observe(self, depth: int, accepted: np.ndarray) -> None:
        """Drafts accepted in rounds of at most so many in a row."""
        held = int(accepted.sum())
        self.tried += held + int((accepted < depth).sum())
        self.held += held
        fade = min(1.0, _MEMORY / self.tried)
        self.tried, self.held = self.tried * fade, self.held * fade

    def forget(self, fade: float) -> None:
        """Keep that part of what was seen, beside the first guess."""
        self.tried, self.held = (
            first + fade * (now - first)
            for now, first in ((self.tried, _FIRST_TRIES), (self.held, _FIRST_TRIES * FIRST_GUESS))
        )

    def expected(self, depth: int) -> float:
        """Drafts in a row that hold."""
        chance = self.held / self.tried
        return depth * 1.0 if chance == 1 else chance * (1 - chance**depth) / (1 - chance)


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
        self.acceptance = {tree: Acceptance() for tree in (False, True)}
        self.rows = dict.fromkeys(shapes, 0.0)
        self.accepted = dict.fromkeys(shapes, 0.0)
        self.tallies = {shape: RoundTally(shape) for shape in shapes}

    @property
    def tokens(self) -> dict[RoundShape, float]:
        """Tokens that a round of each shape is expected to commit per request."""
        return {shape: self.expected(shape) for shape in self.rows}

    def expected(self, shape: RoundShape) -> float:
        """Tokens that a round of this shape is expected to commit per request."""
        guess = self.acceptance[shape.branching > 1].expected(shape.deepest)
        return 1 + (_GUESSES * guess + self.accepted[shape]) / (_GUESSES + self.rows[shape])

    def observe(self, shape: RoundShape, accepted: np.ndarray, *, predicted: float, settled: bool) -> None:
        """Drafts accepted in a round, by request. predicted: tokens that each was expected to get. settled: were the drafts
        left by a round of the same shape?"""
        tally, count, held = self.tallies[shape], len(accepted), int(accepted.sum())
        tally.rounds += 1
        tally.rows += count
        tally.predicted += count * predicted
        tally.tokens += count + held
        if shape.window and not settled:
            return
        if not shape.window:
            # nothing is drafted, so nothing is seen of drafts: what is known of them ages, or none would be tried again
            fade = 0.5 ** (1 / _MEMORY_OF_ROUNDS)
            for acceptance in self.acceptance.values():
                acceptance.forget(fade)
            self.forget(fade)
            return
        self.acceptance[shape.branching > 1].observe(shape.deepest, accepted)
        # all shapes forget, so that one which lost long ago is judged anew by what drafts do now
        self.forget(0.5 ** (count / _MEMORY))
        self.rows[shape] += count
        self.accepted[shape] += held

    def forget(self, fade: float) -> None:
        """Keep that part of what rounds of each shape did."""
        for shape in self.rows:
            self.rows[shape] *= fade
            self.accepted[shape] *= fade


def choose_shape(
    shapes: Sequence[RoundShape],
    tokens: Mapping[RoundShape, float],
    seconds: Mapping[RoundShape, float],
    current: RoundShape | None = None,
) -> RoundShape:
    """The shape of most expected tokens per second, from what is known of the seconds of a round.

    One whose cost is unknown comes first where it may be the best, so that it gets known: it costs no less than a known one
    of fewer tokens, and no smaller a part of a larger one's cost than its tokens are. A known one costs no more than a larger
    one of its kind, whatever a busy moment made of it. Where nothing is known, that in the middle. current: of the round
    before.
    """
    if not seconds:
        return sorted(shapes, key=lambda shape: shape.tokens)[len(shapes) // 2]

    def least(shape: RoundShape) -> float:
        if shape in seconds:
            larger = (
                cost for known, cost in seconds.items() if known.head == shape.head and known.tokens > shape.tokens
            )
            return min([seconds[shape], *larger]) if seconds[shape] < float("inf") else seconds[shape]
        bounds = [cost if known.tokens <= shape.tokens else cost * shape.tokens / known.tokens
                  for known, cost in seconds.items() if known.tokens <= shape.tokens or cost < float("inf")]  # fmt: skip
        return max(bounds, default=0.0)

    def rate(shape: RoundShape) -> float:
        cost = least(shape)
        stays = _STAY if shape == current and shape in seconds else 1.0
        return stays * tokens[shape] / cost if cost > 0 else float("inf")

    return max(shapes, key=rate)
