"""EB-Sampler (arXiv 2505.24857): the sum of entropies bounds what is committed.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import CachedOptions
from fef.decoding.network import Network
from fef.decoding.options import number
from fef.decoding.plan import Plan
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.laws.claim import LawClaim

__all__ = ["ENTROPY_BOUNDED", "EntropyBound", "EntropyBoundedOptions"]


@dataclass(frozen=True)
class EntropyBoundedOptions(CachedOptions):
    gamma: float = number(0.1)

    def plan(self, name: str, network: Network) -> Plan:
        return self.plan_of(EntropyBound(self.gamma), name, network)


@dataclass(frozen=True)
class EntropyBound(UnmaskRule):
    """The k slots of least entropy, k the largest with sum - max of their entropies <= gamma (EB-Sampler, 2505.24857): that
    difference bounds KL(joint || product)."""

    gamma: float

    def select(self, c: Candidates) -> Tensor:
        sorted_BS = c.entropy_BS.sort(dim=1, stable=True).values
        # ascending, so the maximum is the last
        excess_BS = torch.nn.functional.pad(sorted_BS.cumsum(1)[:, :-1], (1, 0))
        count_B = ((excess_BS <= self.gamma) & sorted_BS.isfinite()).long().cumprod(1).sum(1)
        return c.best(-c.entropy_BS, count_B.clamp(min=1))

    def claim(self, greedy: bool) -> LawClaim:
        return LawClaim(False, PRODUCT.reason, f"KL(joint || product) <= {self.gamma:g} nats")


ENTROPY_BOUNDED = Method(
    "entropy-bounded",
    EntropyBoundedOptions,
    "commit the least uncertain while the sum of entropies allows",
    "EB-Sampler, arXiv 2505.24857",
    "bound without a cache, else none",
)
