"""Eso-LM (arXiv 2506.01928): a share of the slots in a random order, several per pass, then one per pass left to right.

Its exact form drafts and verifies in both phases. All goes on over exact caches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fef.decoders.method import CHAIN, Method
from fef.decoders.settings import Windowed
from fef.decoding.network import Network
from fef.decoding.options import number, whole
from fef.decoding.plan import Plan, Speculation
from fef.decoding.requirements import check_packed
from fef.decoding.transfer import ManyThenOne, PerRound
from fef.decoding.unmask import InOrder

__all__ = ["ESO", "ESO_EXACT", "EsoExactOptions", "EsoOptions"]


@dataclass(frozen=True)
class TwoPhases:
    share: float = number(0.125, high=1.0)  # of the slots, drawn in a random order by the diffusion phase (alpha_0)

    def phases(self, name: str, network: Network) -> Plan:
        check_packed(network, 'method="fef" with order="random"')
        return Plan(name, law="packed", order="random", random_share=self.share)


@dataclass(frozen=True)
class EsoOptions(TwoPhases):
    """The diffusion phase draws several slots of a pass independently."""

    tokens_per_step: int = whole(4)  # of the diffusion phase

    def plan(self, name: str, network: Network) -> Plan:
        transfer = ManyThenOne(self.tokens_per_step) if self.share else PerRound(1)
        return replace(self.phases(name, network), rule=InOrder(transfer))


@dataclass(frozen=True)
class EsoExactOptions(Windowed, TwoPhases):
    """In both phases a window is drafted and verified in one order-causal pass."""

    def plan(self, name: str, network: Network) -> Plan:
        speculation = Speculation(window=self.window, accept=self.accept)
        return replace(self.phases(name, network), speculation=speculation)


ESO = Method(
    "eso",
    EsoOptions,
    "a share of the slots in a random order, several a pass, then the others one a pass left to right, over exact caches",
    "Eso-LM, arXiv 2506.01928",
    "chain or greedy at one token per step, else none",
    "a network trained for the packed pattern",
)
ESO_EXACT = Method(
    "eso-exact",
    EsoExactOptions,
    "a share of the slots in a random order, the others left to right; drafted, and verified over exact caches",
    "Eso-LM, arXiv 2506.01928, made exact",
    CHAIN,
    "a network trained for the packed pattern",
)
