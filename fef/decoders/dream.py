"""Dream's ranked rules (arXiv 2508.15487), which differ in the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from fef.decoders.method import ONE, SOME, Method
from fef.decoders.settings import DREAM_CUT, MOST_PASSES, Cache, Ending, Guided
from fef.decoding.network import Network
from fef.decoding.options import flag, number, one_of, whole
from fef.decoding.plan import Plan
from fef.decoding.requirements import refuse_visible_noise, stale_cache
from fef.decoding.transfer import DreamShare, PerRound
from fef.decoding.unmask import FirstSlotFirst, Score, TopScore, UnmaskRule
from fef.errors import OptionError

__all__ = ["ENTROPY", "MASKGIT_PLUS", "TOPK_MARGIN", "EntropyOptions", "MaskgitPlusOptions", "TopkMarginOptions"]


@dataclass(frozen=True)
class DreamOptions(Guided, Ending):
    """Dream's ranked rules. Its own scores are those of the law that is sampled, with temperature and top-p."""

    steps: int | None = whole(None, most=MOST_PASSES)  # rounds in all
    tokens_per_step: int | None = whole(None)  # or how many tokens each commits
    block_length: int | None = whole(None)  # open slots per block
    alg_temp: float = number(0.0)  # draws the slots by their scores; 0: the best
    left_bias: float = number(0.0)  # prefers slots at the left
    cache: Cache = one_of("none", get_args(Cache))  # of keys, out of date
    first_slot_first: bool = flag(False)  # the round that opens a block commits its first slot alone

    def plan_for(self, method: str, score: Score, network: Network) -> Plan:
        refuse_visible_noise(method, network)
        if self.steps is not None and self.tokens_per_step is not None:
            raise OptionError("Give steps or tokens_per_step, not both: one follows from the other.")
        transfer = DreamShare(self.steps) if self.tokens_per_step is None else PerRound(self.tokens_per_step)
        rule: UnmaskRule = TopScore(score, transfer, sampled=True, left_bias=self.left_bias, alg_temp=self.alg_temp)
        rule = FirstSlotFirst(rule) if self.first_slot_first else rule
        cache = stale_cache(method, None if self.cache == "none" else self.cache, network, self.guidance)
        return Plan(
            method,
            block_length=self.block_length,
            rule=rule,
            cache=cache,
            guidance=self.guidance,
            first_cut=DREAM_CUT,
        )


@dataclass(frozen=True)
class MaskgitPlusOptions(DreamOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("maskgit-plus", "drawn", network)


@dataclass(frozen=True)
class TopkMarginOptions(DreamOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("topk-margin", "margin", network)


@dataclass(frozen=True)
class EntropyOptions(DreamOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("entropy", "entropy", network)


MASKGIT_PLUS = Method(
    "maskgit-plus",
    MaskgitPlusOptions,
    "commit the drawn tokens of highest sampled probability",
    "Dream, arXiv 2508.15487",
    f"greedy {ONE} (and temperature 0)",
)
TOPK_MARGIN = Method(
    "topk-margin",
    TopkMarginOptions,
    "commit where the best token leads by most",
    "Dream, arXiv 2508.15487",
    f"{SOME} {ONE}",
)
ENTROPY = Method(
    "entropy",
    EntropyOptions,
    "commit where entropy is least",
    "Dream, arXiv 2508.15487",
    f"{SOME} {ONE}",
)
