"""DCD (discrete copula diffusion, arXiv 2410.01949): a causal model has the dependence, the diffusion model the marginals.

Shapes: B rows, L canvas length, T targets, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoders.method import CAUSAL, Method
from fef.decoders.settings import MOST_PASSES, BesideCausal, Windowed
from fef.decoding.causal import CausalModel
from fef.decoding.network import Network
from fef.decoding.options import one_of, whole
from fef.decoding.plan import Drafted, Plan, ScheduleName, Speculation
from fef.laws.claim import LawClaim

__all__ = ["DCD", "CopulaJudge", "DcdOptions"]


@dataclass(frozen=True)
class DcdOptions(BesideCausal, Windowed):
    """Denoising passes, in each of which the causal model draws what is open, reweighted by what stands behind it."""

    steps: int = whole(2, most=MOST_PASSES)  # denoising passes
    block_length: int | None = whole(None)  # open slots per block
    schedule: ScheduleName = one_of("linear", ("linear", "cosine"))  # of the noise between passes

    def plan(self, name: str, network: Network) -> Plan:
        causal = self.causal_model(network)
        return Plan(
            name,
            steps=self.steps,
            speculation=Speculation(window=self.window, draft="fresh", accept=self.accept),
            judge=CopulaJudge(causal, network.mask_id),
            causal=causal,
        )


@dataclass(frozen=True)
class CopulaJudge:
    """The causal model times what the network says of a slot on the whole canvas of the pass over what it says where nothing
    stands behind the slot: the first-order projection of the causal law on the network's marginals (section 4)."""

    causal: CausalModel
    mask_id: int
    moving = False
    reads_drafted = False
    reads_hidden = False

    def targets(self, drafted: Drafted) -> Tensor:
        next_BTV = self.causal.logits(drafted.ids_BL, drafted.slots_BT, drafted.meter)
        began_BL, slots_BT = drafted.began_BL, drafted.slots_BT
        behind_BTL = torch.arange(began_BL.shape[1], device=began_BL.device) > slots_BT[..., None]
        given_BT = (behind_BTL & (began_BL != self.mask_id)[:, None]).any(-1)
        at_BT = slots_BT.masked_fill(~given_BT, -1)
        if not bool((at_BT >= 0).any()):
            return next_BTV
        whole_BTV = drafted.ask(began_BL[:, None], at_BT[:, None])[:, 0].double().log_softmax(-1)
        before_BTL = torch.where(behind_BTL, self.mask_id, began_BL[:, None])
        before_BTV = drafted.ask(before_BTL, at_BT[..., None])[:, :, 0].double().log_softmax(-1)
        weight_BTV = torch.where(before_BTV > -torch.inf, whole_BTV - before_BTV, 0.0)
        return next_BTV.double().log_softmax(-1) + weight_BTV

    def whose(self, name: str) -> str:
        return f"{self.causal.name}, the causal model, times what {name} adds for the text behind a slot when its pass began"

    def claim(self) -> LawClaim:
        return LawClaim(
            True,
            "law: a copula: of the causal model, given the tokens before a slot, times the network's marginal on the canvas "
            "of the pass over its marginal on what stands before the slot",
        )


DCD = Method(
    "dcd",
    DcdOptions,
    "the causal model draws, reweighted by the network's marginals; many passes",
    "DCD, arXiv 2410.01949",
    "chain, of the copula; greedy at temperature 0 and steps=1",
    CAUSAL,
)
