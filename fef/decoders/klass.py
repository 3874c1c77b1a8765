"""KLASS (arXiv 2511.05664): commit where the law is confident and no longer moves.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import CachedOptions
from fef.decoding.canvas import put_at
from fef.decoding.network import Network
from fef.decoding.options import number, whole
from fef.decoding.plan import Plan
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.laws.claim import LawClaim

__all__ = ["KLASS", "KlassOptions", "Stable"]


@dataclass(frozen=True)
class KlassOptions(CachedOptions):
    threshold: float = number(0.9, high=1.0)
    epsilon: float = number(0.01)
    history: int = whole(2)

    def plan(self, name: str, network: Network) -> Plan:
        # a cached pass computes the block alone, so nothing is known of later ones
        looks_ahead = self.cache == "none"
        return self.plan_of(Stable(self.threshold, self.epsilon, self.history, looks_ahead), name, network)


@dataclass(frozen=True)
class Stable(UnmaskRule):
    """Slots of confidence above `threshold` whose law moved by less than `epsilon` nats of KL in each of the last `history`
    rounds of the block; if there are none, the scheduled number of most confident ones (KLASS, 2511.05664).

    looks_ahead: a block's first round is compared with the last round of the block before, as in the released code, so
    that every open slot is looked at in every round; else its first round is compared with nothing.
    """

    threshold: float
    epsilon: float
    history: int
    looks_ahead: bool = True

    def select(self, c: Candidates) -> Tensor:
        at_BS = c.slots_BS.clamp(min=0)
        V = c.plain.logp_BSV.shape[-1]
        before_BLV = c.memory.of("law", (c.length, V), torch.nan, lasting=self.looks_ahead)
        calm_BL = c.memory.of("calm", (c.length,), 0, torch.int64, lasting=self.looks_ahead)
        before_BSV = before_BLV.gather(1, at_BS[..., None].expand(-1, -1, V))
        p_BSV = c.plain.logp_BSV.exp()
        # nan in the first round: not calm
        kl_BS = torch.where(p_BSV > 0, p_BSV * (c.plain.logp_BSV - before_BSV), 0.0).sum(-1)
        calm_BS = torch.where(kl_BS < self.epsilon, calm_BL.gather(1, at_BS) + 1, 0)
        put_at(before_BLV, at_BS, c.seen_BS, c.plain.logp_BSV)
        put_at(calm_BL, at_BS, c.seen_BS, calm_BS)
        long_enough_B1 = (c.site.attempt_B >= self.history - 1)[:, None]
        ready_BS = long_enough_B1 & (calm_BS >= self.history) & (c.confidence_BS > self.threshold) & c.real_BS
        return torch.where(ready_BS.any(1, keepdim=True), ready_BS, c.best(c.confidence_BS, c.count_B))

    def claim(self, greedy: bool) -> LawClaim:
        kept = (
            "kept from block to block, as in KLASS's code"
            if self.looks_ahead
            else "of the block alone, unlike KLASS's code"
        )
        noise = "" if greedy else ", and laws are scored without the noise of the draw, which that code scores with it"
        return LawClaim(False, f"{PRODUCT.reason}; the history of laws is {kept}{noise}")


KLASS = Method(
    "klass",
    KlassOptions,
    "commit where the law is confident and no longer moves",
    "KLASS, arXiv 2511.05664",
    "none",
)
