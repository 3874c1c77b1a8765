"""The reverse transition of Dream and MDLM (arXiv 2508.15487)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from fef.decoders.method import Method
from fef.decoders.settings import DREAM_CUT, MOST_PASSES, Ending, Guided
from fef.decoding.network import Network
from fef.decoding.options import one_of, whole
from fef.decoding.plan import Plan, ScheduleName
from fef.decoding.transfer import Everything
from fef.decoding.unmask import InOrder

__all__ = ["ORIGIN", "OriginOptions"]


@dataclass(frozen=True)
class OriginOptions(Guided, Ending):
    """The reverse transition with an x_0 that is drawn factorized: each mask is revealed with probability 1 - s / t."""

    steps: int = whole(32, most=MOST_PASSES)
    block_length: int | None = whole(None)
    schedule: ScheduleName = one_of("linear", get_args(ScheduleName))

    def plan(self, name: str, network: Network) -> Plan:
        return Plan(name, rule=InOrder(Everything()), steps=self.steps, first_cut=DREAM_CUT)


ORIGIN = Method(
    "origin",
    OriginOptions,
    "the reverse transition with a factorized x_0",
    "Dream, arXiv 2508.15487; MDLM",
    "none",
)
