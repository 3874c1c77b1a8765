"""WINO (arXiv 2507.18578): commit widely, take back what a leave-one-out look doubts.

Shapes: B rows, S candidate slots, C suspects, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import Ending
from fef.decoding.network import Network
from fef.decoding.options import number, whole
from fef.decoding.plan import Plan
from fef.decoding.revoke import Revoke, Suspects
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule, of_best_tokens
from fef.laws.claim import LawClaim

__all__ = ["WINO", "WideIn", "WideOut", "WinoOptions"]


@dataclass(frozen=True)
class WinoOptions(Ending):
    threshold: float = number(0.6, high=1.0)
    keep: float = number(0.9, high=1.0)
    block_length: int | None = whole(128, optional=True)

    def plan(self, name: str, network: Network) -> Plan:
        revoke = WideOut(self.keep, together=network.casts_shadows)
        return Plan(name, rule=WideIn(self.threshold), revoke=revoke)


@dataclass(frozen=True)
class WideIn(UnmaskRule):
    """Every slot of confidence above `threshold`, at least one and at most min(max(0.7 n, 5), 20) of the n open ones
    (WINO, 2507.18578)."""

    threshold: float

    def select(self, c: Candidates) -> Tensor:
        most_B = (0.7 * c.real_BS.sum(1)).long().clamp(5, 20)
        over_B = (c.confidence_BS > self.threshold).sum(1)
        return c.best(c.confidence_BS, torch.minimum(over_B, most_B).clamp(min=1))

    def claim(self, greedy: bool) -> LawClaim:
        return PRODUCT if greedy else of_best_tokens("WINO")


@dataclass(frozen=True)
class WideOut(Revoke):
    """In rounds that commit more than one token, take back tokens of leave-one-out probability below `keep`, fewer than the
    round before committed (30 in the first of a block): the released code of WINO, 2507.18578.

    together: that probability is read from a mask in the shadow of each position of the block, and these masks see one
    another; else from the canvas with that position masked.
    """

    keep: float
    together: bool = True
    masked = True

    def select(self, s: Suspects) -> Tensor:
        before_B = s.memory.of("committed before", (), 30, torch.int64)
        failed_B = ((s.confidence_BC < self.keep) & s.real_BC).sum(1)
        count_B = torch.minimum(failed_B, before_B - 1).masked_fill(s.new_B <= 1, 0)
        before_B.copy_(torch.where(s.new_B > 0, s.new_B, before_B))
        return s.worst(-s.confidence_BC, count_B)

    def claim(self) -> LawClaim:
        view = (
            "by masks in the shadow of the block, as in WINO's code"
            if self.together
            else "a row each, not WINO's shadows"
        )
        reason = f"revoke: tokens of low leave-one-out probability ({view}) are redrawn, so it is not value-free"
        return LawClaim(False, reason)


WINO = Method(
    "wino",
    WinoOptions,
    "commit widely, take back what a leave-one-out look doubts",
    "WINO, arXiv 2507.18578",
    "none",
)
