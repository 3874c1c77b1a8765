"""Fast-dLLM's factor rule (arXiv 2505.22618).

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import CachedOptions
from fef.decoding.network import Network
from fef.decoding.options import flag, number
from fef.decoding.plan import Plan
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.laws.claim import LawClaim

__all__ = ["FACTOR", "Factor", "FactorOptions"]


@dataclass(frozen=True)
class FactorOptions(CachedOptions):
    factor: float = number(1.0)
    official_faults: bool = flag(False)

    def plan(self, name: str, network: Network) -> Plan:
        return self.plan_of(Factor(self.factor, and_last=self.official_faults), name, network)


@dataclass(frozen=True)
class Factor(UnmaskRule):
    """The n most confident slots, n the largest with (n + 1) (1 - c_n) < factor, c_n the confidence of the n-th (Fast-dLLM).

    For factor <= 1 the committed modes are the mode of the joint law (its Theorem 1), and TV(joint, product) < factor,
    since both give that mode at least 1 - n (1 - c_n). and_last: if only the least confident slot of all fails, it is
    committed too, as in the released code, and no bound holds.
    """

    factor: float
    and_last: bool = False

    def select(self, c: Candidates) -> Tensor:
        sorted_BS = c.confidence_BS.sort(dim=1, descending=True).values
        n_S = torch.arange(1, sorted_BS.shape[1] + 1, device=sorted_BS.device)
        count_B = ((n_S + 1) * (1 - sorted_BS) < self.factor).long().cumprod(1).sum(1)
        if self.and_last:
            count_B = count_B.clamp(min=1) + (count_B.clamp(min=1) == c.real_BS.sum(1) - 1)
        return c.best(c.confidence_BS, count_B.clamp(min=1))

    def claim(self, greedy: bool) -> LawClaim:
        mode = ", and the modes are the joint mode (Theorem 1)" if greedy else ""
        return (
            PRODUCT
            if self.and_last or self.factor > 1
            else LawClaim(False, PRODUCT.reason, f"TV <= {self.factor:g}{mode}")
        )


FACTOR = Method(
    "factor",
    FactorOptions,
    "commit as many as their confidence allows",
    "Fast-dLLM, arXiv 2505.22618",
    "bound without a cache, else none",
    "any denoiser; a cache needs a fef Transformer",
)
