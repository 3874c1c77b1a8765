"""A learned unmasking policy (arXiv 2512.09106): a small network draws which slots a round commits.

Shapes: B rows, S candidate slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import Ending
from fef.decoding.network import Network, failures_told
from fef.decoding.options import model, number, whole
from fef.decoding.plan import Plan
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.errors import DenoiserError, OptionError
from fef.laws.claim import LawClaim
from fef.laws.draws import Purpose
from fef.models.unmask_policy import load_policy

__all__ = ["POLICY", "Learned", "PolicyOptions"]

Policy = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class PolicyOptions(Ending):
    """A slot is committed with the probability that the policy gives it; where none is, the likeliest one."""

    policy: Callable[..., Tensor] | str | None = model()  # None: the one that came with the checkpoint
    policy_temperature: float = number(1.0)  # of its decisions; 0: those of probability 1/2 and more
    block_length: int | None = whole(32, optional=True)

    def plan(self, name: str, network: Network) -> Plan:
        found = network.extra("unmask_policy") if self.policy is None else self.policy
        if isinstance(found, str):
            found = load_policy(Path(found)).to(network.device or "cpu")
        if found is None:
            raise OptionError(
                f"{network.name} comes without an unmasking policy. Train one with `fef train --objective policy`, or give "
                "policy=FILE."
            )
        return Plan(name, rule=Learned(found, self.policy_temperature))


@dataclass(frozen=True)
class Learned(UnmaskRule):
    """Each slot by a decision of its own, whose probability depends on how sure the pass is of all open slots."""

    policy: Policy
    temperature: float

    def select(self, c: Candidates) -> Tensor:
        size_B = c.memory.of("policy size", (), 0)
        size_B.copy_(torch.where(size_B > 0, size_B, c.real_BS.sum(1)))
        open_B = c.real_BS.sum(1) / size_B.clamp(min=1)
        logits_BS = self.scores(c, open_B)
        if self.temperature:
            take_BS = c.noise.bernoulli((logits_BS / self.temperature).sigmoid().double(), c.site, Purpose.ORDER)
        else:
            take_BS = logits_BS >= 0
        take_BS = take_BS & c.real_BS
        return torch.where(take_BS.any(1, keepdim=True), take_BS, c.best(logits_BS.double(), c.count_B))

    def scores(self, c: Candidates, open_B: Tensor) -> Tensor:
        """What the policy says of each slot. Raises DenoiserError for one that fails, or says no number of a slot."""
        with failures_told(lambda why: f"The unmasking policy failed: {why}. Correct it, or leave policy out."):
            found = self.policy(c.confidence_BS.clamp(min=0), c.place(), open_B, c.real_BS)
        real_BS = c.real_BS
        if not isinstance(found, Tensor) or found.shape != real_BS.shape or not found.is_floating_point():
            got = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise DenoiserError(f"The unmasking policy returned {got}; it must return logits {tuple(real_BS.shape)}.")
        if bool((found.isnan() & real_BS).any()):
            raise DenoiserError("The unmasking policy returned nan for a slot; look for an overflow in it.")
        return found

    def claim(self, greedy: bool) -> LawClaim:
        return LawClaim(False, f"{PRODUCT.reason}; which, a learned policy draws from confidences, blind to values")


POLICY = Method(
    "policy",
    PolicyOptions,
    "commit what a learned policy draws from confidences",
    "Jazbec et al., arXiv 2512.09106",
    "none",
    "an unmasking policy",
)
