"""APD (arXiv 2506.00413): a small causal model judges the drafts of a pass through a product of experts; and its exact form.

Shapes: B rows, L canvas length, S candidate slots, T targets, W drafts, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fef.decoders.method import CAUSAL, Method
from fef.decoders.settings import BesideCausal, Ending, Windowed
from fef.decoding.causal import CausalModel
from fef.decoding.network import Network
from fef.decoding.options import number, whole
from fef.decoding.plan import Drafted, Plan, Speculation
from fef.decoding.transfer import PerRound, TransferSchedule
from fef.decoding.unmask import Candidates, UnmaskRule, one_a_round
from fef.laws.claim import LawClaim

__all__ = ["APD", "APD_EXACT", "AgreeingRun", "ApdExactOptions", "ApdOptions", "ProductJudge", "product_of_experts"]


@dataclass(frozen=True)
class ApdOptions(BesideCausal, Ending):
    share: float = number(0.6, high=1.0)  # exponent of the network in the product; the causal model has the rest
    lookahead: int = whole(100)  # slots drawn per round, at most

    def plan(self, name: str, network: Network) -> Plan:
        rule = AgreeingRun(self.share, PerRound(self.lookahead))
        return Plan(name, rule=rule, causal=self.causal_model(network))


@dataclass(frozen=True)
class AgreeingRun(UnmaskRule):
    """The first slot, and those behind it up to the first where the product of experts draws another token than the network
    with the same noise."""

    share: float
    transfer: TransferSchedule
    in_order = True
    reads_tokens = True

    def select(self, c: Candidates) -> Tensor:
        assert c.logits_BSV is not None, "the loop gives them"
        mixed_BSV = product_of_experts(self.share, c.logits_BSV, c.causal())
        same_BS = c.redraw(mixed_BSV) == c.tokens_BS
        same_BS[:, :1] = True
        return same_BS.long().cumprod(1).bool() & c.real_BS

    def claim(self, greedy: bool) -> LawClaim:
        if self.transfer.one:
            return one_a_round("in the order")
        return LawClaim(
            False,
            "commit: the network's own draws, where the product of experts would have drawn the same; where it would not, "
            "nothing is drawn from it, so the text has the law of neither",
        )


@dataclass(frozen=True)
class ApdExactOptions(BesideCausal, Windowed):
    share: float = number(0.6, high=1.0)  # exponent of the network in the product; the causal model has the rest

    def plan(self, name: str, network: Network) -> Plan:
        causal = self.causal_model(network)
        spec = Speculation(window=self.window, draft="fresh", accept=self.accept, bonus=False)
        moving = self.window > 1 and self.share > 0
        return Plan(name, speculation=spec, judge=ProductJudge(causal, self.share, moving), causal=causal)


@dataclass(frozen=True)
class ProductJudge:
    """The product of experts, of which the network's part is what it said when the round began."""

    causal: CausalModel
    share: float
    moving: bool
    reads_hidden = False

    @property
    def reads_drafted(self) -> bool:
        return self.share > 0

    def targets(self, drafted: Drafted) -> Tensor:
        next_BTV = self.causal.logits(drafted.ids_BL, drafted.slots_BT, drafted.meter)
        if not self.reads_drafted:
            return next_BTV
        assert drafted.drafted_BWV is not None, "a round drafts before it asks"
        return product_of_experts(self.share, drafted.drafted_BWV, next_BTV)

    def whose(self, name: str) -> str:
        given = " given the text before the round" if self.moving else ""
        return f"{name}{given} to the power {self.share:g} times {self.causal.name} to the power {1 - self.share:g}"

    def claim(self) -> LawClaim:
        when = "as it was when the round began" if self.moving else "given the tokens before it"
        return LawClaim(
            True,
            f"law: of a product of experts: of the network, {when}, and of the causal model, given the tokens before",
        )


def product_of_experts(share: float, one_BSV: Tensor, other_BSV: Tensor) -> Tensor:
    """Logits of one law to the power `share` times the other to the rest."""
    if share in (0, 1):  # the power 0 of what is excluded counts nothing
        return one_BSV if share else other_BSV
    return share * one_BSV.double().log_softmax(-1) + (1 - share) * other_BSV.double().log_softmax(-1)


APD = Method(
    "apd",
    ApdOptions,
    "commit the draws that a product of experts with a causal model would have drawn, too",
    "APD, arXiv 2506.00413",
    "none; chain or greedy at one token per round",
    CAUSAL,
)
APD_EXACT = Method(
    "apd-exact",
    ApdExactOptions,
    "the same judge with exact acceptance: what it rejects is drawn from the product of experts",
    "APD, arXiv 2506.00413, made exact",
    "process; chain or greedy at window=1",
    CAUSAL,
)
