"""Which shape the next round has: that of most expected tokens per second.

Tokens are expected from *calibrated* chances: how often drafts held in earlier rounds, set against what was predicted
before. Seconds are those of a whole round at this load (`fef.engine.costs`), since one round serves all requests. Neither
knows anything of what the round will draw.

A shape is judged by rounds that follow one of its own: drafts come from the round before, so that the first round behind
another shape says little. One token per pass drafts nothing and needs no judgment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fef.models.packed_pass import RoundShape

__all__ = ["FIRST_GUESS", "Acceptance", "Calibration", "RoundTally", "choose_shape", "with_ends"]

FIRST_GUESS = 0.8  # chance that a draft of a chain holds, before any was seen
_FIRST_TRIES = 10.0  # before any round, as if so many had held with the first guess
# Where the draft of a chain does not hold, a tree often has another one that does. Parts of these places that are left to a
# tree of 16 nodes, before any was seen, and to one of twice as many nodes: `smol` has 0.2 to 0.6 on problems and on
# conversations with trees of 32 (`docs/results/drafts.md`). A guess too high costs a few rounds, one too low all of them.
_LEFT_TO_TREES = 0.3
_LEFT_TO_TWICE = 0.9
# The same for chains with a second draft group, beside those with one, until they were tried, and once more for four groups:
# 0.73 and 0.76 on problems of `smol`, about 1 where most drafts hold anyway.
_LEFT_TO_GROUPS = 0.85
_MEMORY = 500.0  # rounds of a request, or drafts, after which an observation counts half or less
# but no fewer rounds than these: to try again what lost takes rounds, however many requests they serve
_LEAST_ROUNDS = 100.0
_MEMORY_OF_ROUNDS = 200.0  # of one token, after which what is known of drafts counts half
_GUESSES = 32.0  # rounds of a request by which what other shapes say of a shape is outweighed: few tell little
# a shape in use stays unless another is that much faster: the first round of another has worse drafts
_STAY = 1.02


class Acceptance:
    """The chance that a draft does not hold behind drafts that held, one for all depths, as it was lately. guess: that before
    any was seen, which counts beside what was. share: of a shape, what it has of that chance.

    That a round verified fewer drafts than it has room for, because they were not worth it, counts as one that did not hold.
    """

    def __init__(self, guess: Callable[[], float] = lambda: 1 - FIRST_GUESS) -> None:
        self.guess = guess
        self.tried, self.failed = 0.0, 0.0

    def observe(self, depth: int, accepted: np.ndarray, share: float = 1.0) -> None:
        """Drafts accepted in rounds of at most so many in a row."""
        failed = int(np.count_nonzero(accepted < depth))
        self.tried += int(accepted.sum()) + failed
        self.failed += failed / share
        if self.tried > _MEMORY:
            self.forget(_MEMORY / self.tried)

    def forget(self, fade: float) -> None:
        """Keep that part of what was seen."""
        self.tried, self.failed = self.tried * fade, self.failed * fade

    @property
    def failing(self) -> float:
        """The chance that a draft does not hold."""
        return (_FIRST_TRIES * self.guess() + self.failed) / (_FIRST_TRIES + self.tried)

    def expected(self, depth: int, share: float = 1.0) -> float:
        """Drafts in a row that hold."""
        chance = max(0.0, 1 - share * self.failing)
        return depth * 1.0 if chance == 1 else chance * (1 - chance**depth) / (1 - chance)


def share_of(shape: RoundShape) -> float:
    """Of the chance that a draft of its kind does not hold: for `Acceptance`."""
    return _LEFT_TO_TWICE ** math.log2(shape.window / 16) if shape.branching > 1 else 1.0


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
        chains = Acceptance()
        self.acceptance = {False: chains, True: Acceptance(lambda: _LEFT_TO_TREES * chains.failing)}
        self.rows = dict.fromkeys(shapes, 0.0)
        self.accepted = dict.fromkeys(shapes, 0.0)
        self.tallies = {shape: RoundTally(shape) for shape in shapes}

    @property
    def tokens(self) -> dict[RoundShape, float]:
        """Tokens that a round of each shape is expected to commit per request."""
        return {shape: self.expected(shape) for shape in self.rows}

    def expected(self, shape: RoundShape) -> float:
        """Tokens that a round of this shape is expected to commit per request."""
        chain = shape.branching == 1
        share = _LEFT_TO_GROUPS ** math.log2(shape.groups) if chain else share_of(shape)
        guess = self.acceptance[not chain].expected(shape.deepest, share)
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
            self.forget(0.5 ** (1 / _MEMORY_OF_ROUNDS))
            return
        # all shapes forget, so that one which lost long ago is judged anew by what drafts do now
        self.forget(0.5 ** min(count / _MEMORY, 1 / _LEAST_ROUNDS))
        self.acceptance[shape.branching > 1].observe(shape.deepest, accepted, share_of(shape))
        self.rows[shape] += count
        self.accepted[shape] += held

    def forget(self, fade: float) -> None:
        """Keep that part of what rounds did."""
        for acceptance in self.acceptance.values():
            acceptance.forget(fade)
        for shape in self.rows:
            self.rows[shape] *= fade
            self.accepted[shape] *= fade


def with_ends(tokens: float, length: float, ahead: int) -> float:
    """Tokens per round, where a text of `length` tokens keeps its seat for `ahead` rounds more, until the host knows that it
    has ended. The shorter texts are, the more a dear round has to bring."""
    return tokens / (1 + ahead * tokens / length)


def choose_shape(
    shapes: Sequence[RoundShape],
    tokens: Mapping[RoundShape, float],
    seconds: Mapping[RoundShape, float],
    current: RoundShape | None = None,
) -> RoundShape:
    """The shape of most expected tokens per second, from what is known of the seconds of a round.

    One whose cost is unknown comes first where it may be the best, so that it gets known: it costs no less than a known one
    of fewer tokens, and no smaller a part of a larger one's cost than its tokens are, unless that one has work of a kind
    that it has not. A known one costs no more than a larger one of its kind, whatever a busy moment made of it. Where nothing
    is known, that in the middle. current: of the round before.
    """
    if not seconds:
        return sorted(shapes, key=lambda shape: shape.tokens)[len(shapes) // 2]

    def least(shape: RoundShape) -> float:
        if shape in seconds:
            larger = (
                cost for known, cost in seconds.items() if work(known) == work(shape) and known.tokens > shape.tokens
            )
            return min([seconds[shape], *larger]) if seconds[shape] < float("inf") else seconds[shape]
        no_more = {known: cost for known, cost in seconds.items() if work(known) <= work(shape)}
        bounds = [cost if known.tokens <= shape.tokens else cost * shape.tokens / known.tokens
                  for known, cost in no_more.items() if known.tokens <= shape.tokens or cost < float("inf")]  # fmt: skip
        return max(bounds, default=0.0)

    def rate(shape: RoundShape) -> float:
        cost = least(shape)
        stays = _STAY if shape == current and shape in seconds else 1.0
        return stays * tokens[shape] / cost if cost > 0 else float("inf")

    return max(shapes, key=rate)


def work(shape: RoundShape) -> tuple[bool, bool]:
    """What a round does besides its tokens, the more the larger: it ranks candidates for a tree, a head grows one."""
    return shape.branching > 1, shape.head
