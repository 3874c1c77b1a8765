"""DEER (arXiv 2512.15176): the diffusion model drafts, a causal model verifies.

Shapes: B rows, T targets, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fef.decoders.method import CAUSAL, CHAIN, Method
from fef.decoders.settings import BesideCausal, Windowed
from fef.decoding.causal import CausalModel
from fef.decoding.network import Network
from fef.decoding.plan import Drafted, Plan, Speculation
from fef.laws.claim import LawClaim

__all__ = ["DEER", "CausalJudge", "DeerOptions"]


@dataclass(frozen=True)
class DeerOptions(BesideCausal, Windowed):
    """A window of drafts from one pass of the network, and targets from one pass of the causal model."""

    def plan(self, name: str, network: Network) -> Plan:
        causal = self.causal_model(network)
        spec = Speculation(window=self.window, draft="fresh", accept=self.accept)
        return Plan(name, speculation=spec, judge=CausalJudge(causal), causal=causal)


@dataclass(frozen=True)
class CausalJudge:
    """The causal model alone: whatever drafts, its own law is sampled."""

    causal: CausalModel
    moving = False
    reads_drafted = False
    reads_hidden = False

    def targets(self, drafted: Drafted) -> Tensor:
        return self.causal.logits(drafted.ids_BL, drafted.slots_BT, drafted.meter)

    def whose(self, name: str) -> str:
        return f"{self.causal.name}, the causal model, alone"

    def claim(self) -> LawClaim:
        return LawClaim(
            True, f"law: of {self.causal.name}, each token given the tokens before it, none of those behind"
        )


DEER = Method(
    "deer",
    DeerOptions,
    "the diffusion model drafts a window, a causal model verifies it: the causal model's law",
    "DEER, arXiv 2512.15176",
    CHAIN,
    CAUSAL,
)
