"""Eso-LM (arXiv 2506.01928): a share of the slots in a random order, several per pass, then one per pass left to right."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import Method
from fef.decoding.network import Network
from fef.decoding.options import number, whole
from fef.decoding.plan import Plan
from fef.decoding.requirements import check_packed, refuse_visible_noise
from fef.decoding.transfer import ManyThenOne, PerRound
from fef.decoding.unmask import InOrder

__all__ = ["ESO", "EsoOptions"]


@dataclass(frozen=True)
class EsoOptions:
    """The diffusion phase draws several slots of a pass independently; both phases go on over exact caches."""

    share: float = number(0.125, high=1.0)  # of the slots, drawn in a random order by the diffusion phase (alpha_0)
    tokens_per_step: int = whole(4)  # of the diffusion phase

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("eso", network)
        check_packed(network, 'method="fef" with order="random"')
        rule = InOrder(ManyThenOne(self.tokens_per_step) if self.share else PerRound(1))
        return Plan("eso", law="packed", order="random", random_share=self.share, rule=rule)


ESO = Method(
    "eso",
    EsoOptions,
    "a share of the slots in a random order, several a pass, then the others one a pass left to right, over exact caches",
    "Eso-LM, arXiv 2506.01928",
    "chain or greedy at one token per step, else none",
    "a network trained for the packed pattern",
)
