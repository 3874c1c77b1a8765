"""SSD (arXiv 2510.04147) and FreeDave (arXiv 2510.00294): low-confidence, replayed several steps ahead."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import Method
from fef.decoders.settings import MOST_AHEAD, Ending, Guided
from fef.decoding.network import Network
from fef.decoding.options import whole
from fef.decoding.plan import Plan
from fef.decoding.requirements import refuse_visible_noise
from fef.decoding.transfer import PerRound
from fef.decoding.unmask import TopScore

__all__ = ["FREEDAVE", "SSD", "FreedaveOptions", "SsdOptions"]


@dataclass(frozen=True)
class ReplayOptions(Guided, Ending):
    block_length: int | None = whole(None)
    drafts: int = whole(4, most=MOST_AHEAD)

    def plan_for(self, method: str, tokens_per_step: int, network: Network) -> Plan:
        refuse_visible_noise(method, network)
        rule = TopScore("drawn", PerRound(tokens_per_step))
        return Plan(
            method,
            block_length=self.block_length,
            rule=rule,
            replay=self.drafts,
            guidance=self.guidance,
            greedy=True,
        )


@dataclass(frozen=True)
class SsdOptions(ReplayOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("ssd", 1, network)


@dataclass(frozen=True)
class FreedaveOptions(ReplayOptions):
    tokens_per_step: int = whole(1)

    def plan(self, network: Network) -> Plan:
        return self.plan_for("freedave", self.tokens_per_step, network)


SSD = Method(
    "ssd",
    SsdOptions,
    "low-confidence one token per step, several steps per call, the same text",
    "SSD, arXiv 2510.04147",
    "greedy",
)
FREEDAVE = Method(
    "freedave",
    FreedaveOptions,
    "low-confidence with any number of tokens per step, several steps per call, the same text",
    "FreeDave, arXiv 2510.00294",
    "greedy at one token per step",
)
