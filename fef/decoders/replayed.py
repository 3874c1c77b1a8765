"""SSD (arXiv 2510.04147) and FreeDave (arXiv 2510.00294): low-confidence, replayed several steps ahead."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import Method
from fef.decoders.settings import MOST_AHEAD, Ending, Guided
from fef.decoding.network import Network
from fef.decoding.options import whole
from fef.decoding.plan import Plan
from fef.decoding.transfer import PerRound
from fef.decoding.unmask import TopScore

__all__ = ["FREEDAVE", "SSD", "FreedaveOptions", "SsdOptions"]


@dataclass(frozen=True)
class SsdOptions(Guided, Ending):
    block_length: int | None = whole(None)
    drafts: int = whole(4, most=MOST_AHEAD)

    def plan(self, name: str, network: Network) -> Plan:
        return self.replayed(name, 1)

    def replayed(self, name: str, tokens_per_step: int) -> Plan:
        return Plan(name, rule=TopScore("drawn", PerRound(tokens_per_step)), replay=self.drafts, greedy=True)


@dataclass(frozen=True)
class FreedaveOptions(SsdOptions):
    tokens_per_step: int = whole(1)

    def plan(self, name: str, network: Network) -> Plan:
        return self.replayed(name, self.tokens_per_step)


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
