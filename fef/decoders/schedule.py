"""Counts by the information profile (DDOSP, arXiv 2510.25544)."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import Method
from fef.decoders.settings import Ending, Guided
from fef.decoding.network import Network
from fef.decoding.options import path, whole
from fef.decoding.plan import Plan
from fef.decoding.transfer import Planned
from fef.decoding.unmask import InOrder

__all__ = ["SCHEDULE", "ScheduleOptions"]


@dataclass(frozen=True)
class ScheduleOptions(Guided, Ending):
    """DDOSP. profile: a file made by `fef profile`; by default that of the checkpoint. block_length: in a random order inside
    blocks, from left to right, which no bound is known for; nor is one where guidance makes another law than that of the
    profile."""

    steps: int = whole(32)
    profile: str | None = path()
    block_length: int | None = whole(None)

    def plan(self, name: str, network: Network) -> Plan:
        profile = network.information_profile(self.profile)
        return Plan(
            name,
            order="blocks" if self.block_length else "random",
            rule=InOrder(
                Planned(profile, self.steps, blocks=self.block_length is not None, measured=not self.guidance.on)
            ),
        )


SCHEDULE = Method(
    "schedule",
    ScheduleOptions,
    "random order, with the counts per step that the information profile asks for",
    "Lavenant and Zanella, arXiv 2510.25544 (DDOSP)",
    "bound",
    "an information profile",
)
