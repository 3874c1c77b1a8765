"""Fast-dLLM's threshold (arXiv 2505.22618) and what LLaDA2, SDAR and its version for Dream make of it.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import DREAM_CUT, CachedOptions, block_share, llada_transfer
from fef.decoding.network import Network
from fef.decoding.options import flag, number, whole
from fef.decoding.plan import Plan
from fef.decoding.transfer import Pace, PerRound, TransferSchedule
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.errors import OptionError
from fef.laws.claim import LawClaim

__all__ = ["THRESHOLD", "PacedThreshold", "Threshold", "ThresholdOptions"]


@dataclass(frozen=True)
class ThresholdOptions(CachedOptions):
    """What is confident enough, and how many tokens a round commits in any case."""

    threshold: float = number(0.9, high=1.0)  # of confidence
    tokens_per_step: int = whole(1)  # least tokens per round
    steps: int | None = whole(None)  # or rounds of all blocks
    block_steps: int | None = whole(None)  # or rounds of each
    pace: int | None = whole(None)  # or rounds per block, whose even pace no round exceeds
    strict: bool = flag(False)  # above the threshold, not at it
    first_slot_first: bool = flag(False)  # the round that opens a block commits its first slot alone

    def plan(self, name: str, network: Network) -> Plan:
        for_dream = self.pace is not None or self.first_slot_first
        return self.plan_of(self.rule, name, network, DREAM_CUT if for_dream else "top-k")

    @property
    def rule(self) -> UnmaskRule:
        if self.pace is not None:
            if self.tokens_per_step != 1 or self.steps is not None or self.block_steps is not None:
                raise OptionError("pace is the most that a round commits, the others the least; give one of them.")
            if self.strict:
                raise OptionError(
                    "pace commits at the threshold, too; leave strict out, or raise the threshold a little."
                )
            return PacedThreshold(self.threshold, Pace(self.pace))
        share = block_share(self.block_length, self.block_steps)
        if share is not None and (self.steps is not None or self.tokens_per_step != 1):
            raise OptionError(
                "block_steps are the rounds of one block; steps, those of all, and tokens_per_step follow from it. Give one "
                "of them."
            )
        transfer = share or llada_transfer(self.steps, self.tokens_per_step)
        return Threshold(self.threshold, transfer, self.strict)


@dataclass(frozen=True)
class Threshold(UnmaskRule):
    """Every slot of confidence at least `threshold` (strict: above it), and at least the scheduled number
    (Fast-dLLM, 2505.22618; with a larger number LLaDA2 and SDAR)."""

    threshold: float
    transfer: TransferSchedule = PerRound(1)
    strict: bool = False

    def select(self, c: Candidates) -> Tensor:
        over_BS = c.confidence_BS > self.threshold if self.strict else c.confidence_BS >= self.threshold
        return c.or_most_confident(over_BS)

    def claim(self, greedy: bool) -> LawClaim:
        # both laws give the joint mode at least 1 - sum of (1 - confidence)
        stated = self.transfer.one and self.threshold > 0
        bound = f"TV <= {1 - self.threshold:.3g} n for n tokens" if stated else None
        return LawClaim(False, PRODUCT.reason, bound)


@dataclass(frozen=True)
class PacedThreshold(UnmaskRule):
    """Of the scheduled number of most confident slots those of confidence at least `threshold`, and at least one (Fast-dLLM
    for Dream; the schedule is what an even pace still allows)."""

    threshold: float
    transfer: TransferSchedule

    def select(self, c: Candidates) -> Tensor:
        allowed_BS = c.best(c.confidence_BS, c.count_B) & (c.confidence_BS >= self.threshold)
        return allowed_BS | c.best(c.confidence_BS, torch.ones_like(c.count_B))

    def claim(self, greedy: bool) -> LawClaim:
        return PRODUCT


THRESHOLD = Method(
    "threshold",
    ThresholdOptions,
    "commit all above a confidence",
    "Fast-dLLM, arXiv 2505.22618",
    "bound without a cache, else none",
    "any denoiser; a cache needs a fef Transformer",
)
