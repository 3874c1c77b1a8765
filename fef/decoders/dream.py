"""Dream's ranked rules (arXiv 2508.15487), which differ in the score."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import ONE, SOME, Method
from fef.decoders.settings import DREAM_CUT, MOST_PASSES, CachedOptions
from fef.decoding.network import Network
from fef.decoding.options import flag, number, whole
from fef.decoding.plan import Plan
from fef.decoding.transfer import DreamShare, PerRound
from fef.decoding.unmask import Score, TopScore
from fef.errors import OptionError

__all__ = ["ENTROPY", "MASKGIT_PLUS", "TOPK_MARGIN", "DreamOptions"]

SCORES: dict[str, Score] = {"maskgit-plus": "drawn", "topk-margin": "margin", "entropy": "entropy"}


@dataclass(frozen=True)
class DreamOptions(CachedOptions):
    """Dream's ranked rules. Its own scores are those of the law that is sampled, with temperature and top-p."""

    steps: int | None = whole(None, most=MOST_PASSES)  # rounds in all
    tokens_per_step: int | None = whole(None)  # or how many tokens each commits
    block_length: int | None = whole(None)  # open slots per block
    alg_temp: float = number(0.0)  # draws the slots by their scores; 0: the best
    left_bias: float = number(0.0)  # prefers slots at the left
    first_slot_first: bool = flag(False)  # the round that opens a block commits its first slot alone

    def plan(self, name: str, network: Network) -> Plan:
        if self.steps is not None and self.tokens_per_step is not None:
            raise OptionError("Give steps or tokens_per_step, not both: one follows from the other.")
        transfer = DreamShare(self.steps) if self.tokens_per_step is None else PerRound(self.tokens_per_step)
        rule = TopScore(SCORES[name], transfer, sampled=True, left_bias=self.left_bias, alg_temp=self.alg_temp)
        return self.plan_of(rule, name, network, DREAM_CUT)


MASKGIT_PLUS = Method(
    "maskgit-plus",
    DreamOptions,
    "commit the drawn tokens of highest sampled probability",
    "Dream, arXiv 2508.15487",
    f"greedy {ONE} (and temperature 0)",
)
TOPK_MARGIN = Method(
    "topk-margin",
    DreamOptions,
    "commit where the best token leads by most",
    "Dream, arXiv 2508.15487",
    f"{SOME} {ONE}",
)
ENTROPY = Method(
    "entropy",
    DreamOptions,
    "commit where entropy is least",
    "Dream, arXiv 2508.15487",
    f"{SOME} {ONE}",
)
