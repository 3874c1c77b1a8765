"""DEER (arXiv 2512.15176): the diffusion model drafts, a causal model verifies.

Shapes: B rows, T targets, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fef.decoders.method import CAUSAL, CHAIN, Method
from fef.decoders.settings import ACCEPTS
from fef.decoding.causal import CausalModel, find_causal
from fef.decoding.network import Network
from fef.decoding.options import model, one_of, whole
from fef.decoding.plan import Accept, Drafted, Plan, Speculation
from fef.decoding.requirements import refuse_visible_noise
from fef.laws.claim import LawClaim

__all__ = ["DEER", "CausalJudge", "DeerOptions"]


@dataclass(frozen=True)
class DeerOptions:
    """A window of drafts from one pass of the network, and targets from one pass of the causal model."""

    causal: Callable[..., Tensor] | str | None = model()  # verifies; None: the one that came with the checkpoint
    window: int = whole(16)  # drafts per round
    accept: Accept = one_of("coupled", ACCEPTS)  # the acceptance rule

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("deer", network)
        causal = find_causal(self.causal, network)
        spec = Speculation(window=self.window, draft="fresh", accept=self.accept)
        return Plan("deer", speculation=spec, judge=CausalJudge(causal), causal=causal)


@dataclass(frozen=True)
class CausalJudge:
    """The causal model alone: whatever drafts, its own law is sampled."""

    causal: CausalModel
    moving = False
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
