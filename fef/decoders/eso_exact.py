"""Eso-LM (arXiv 2506.01928), its diffusion phase made exact: a random order, then left to right, all over exact caches."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import CHAIN, Method
from fef.decoders.settings import ACCEPTS
from fef.decoding.network import Network
from fef.decoding.options import number, one_of, whole
from fef.decoding.plan import Accept, Plan, Speculation
from fef.decoding.requirements import check_packed, refuse_visible_noise

__all__ = ["ESO_EXACT", "EsoExactOptions"]


@dataclass(frozen=True)
class EsoExactOptions:
    """Which slots the diffusion phase draws; in both phases a window is drafted and verified in one order-causal pass."""

    share: float = number(0.125, high=1.0)  # of the slots, drawn in a random order by the diffusion phase (alpha_0)
    window: int = whole(16)  # drafts per round
    accept: Accept = one_of("coupled", ACCEPTS)  # the acceptance rule

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("eso-exact", network)
        check_packed(network, 'method="fef" with order="random"')
        spec = Speculation(window=self.window, accept=self.accept)
        return Plan("eso-exact", law="packed", order="random", random_share=self.share, speculation=spec)


ESO_EXACT = Method(
    "eso-exact",
    EsoExactOptions,
    "a share of the slots in a random order, the others left to right; drafted, and verified over exact caches",
    "Eso-LM, arXiv 2506.01928, made exact",
    CHAIN,
    "a network trained for the packed pattern",
)
