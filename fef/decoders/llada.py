"""LLaDA's two rules (arXiv 2502.09992): the most confident slots, or random ones."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import ONE, SOME, Method
from fef.decoders.settings import Counts, Guided
from fef.decoding.network import Network
from fef.decoding.options import flag, number
from fef.decoding.plan import Plan
from fef.decoding.requirements import ends
from fef.decoding.unmask import InOrder, TopScore

__all__ = ["LOW_CONFIDENCE", "RANDOM", "LowConfidenceOptions", "RandomOptions"]


@dataclass(frozen=True)
class LowConfidenceOptions(Counts, Guided):
    left_bias: float = number(0.0)
    logits_eos_inf: bool = flag(False)
    confidence_eos_eot_inf: bool = flag(False)
    official_faults: bool = flag(False)

    def plan(self, name: str, network: Network) -> Plan:
        last = ends(network) if self.confidence_eos_eot_inf else ()
        renormalized = self.official_faults and bool(last)
        rule = TopScore("drawn", self.transfer, left_bias=self.left_bias, last=last, renormalized=renormalized)
        return Plan(
            name,
            rule=rule,
            banned=ends(network)[:1] if self.logits_eos_inf else (),
        )


@dataclass(frozen=True)
class RandomOptions(Counts, Guided):
    logits_eos_inf: bool = flag(False)

    def plan(self, name: str, network: Network) -> Plan:
        return Plan(
            name,
            order="blocks" if self.block_length else "random",
            rule=InOrder(self.transfer),
            banned=ends(network)[:1] if self.logits_eos_inf else (),
        )


LOW_CONFIDENCE = Method(
    "low-confidence",
    LowConfidenceOptions,
    "commit the drawn tokens of highest probability",
    "LLaDA, arXiv 2502.09992",
    f"greedy {ONE} (and temperature 0)",
)
RANDOM = Method(
    "random",
    RandomOptions,
    "commit drawn tokens at positions in a random order",
    "LLaDA, arXiv 2502.09992",
    f"{SOME} {ONE}",
)
