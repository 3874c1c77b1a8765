"""DEMASK (arXiv 2604.02560): commit together what influences each other little.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import Ending
from fef.decoding.network import Network
from fef.decoding.options import number, one_of, path, whole
from fef.decoding.plan import Plan
from fef.decoding.requirements import find_head
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.errors import OptionError
from fef.laws.claim import LawClaim

__all__ = ["DEMASK", "DemaskOptions", "LowInfluence"]


PROBE_VALUES = 4


@dataclass(frozen=True)
class DemaskOptions(Ending):
    """influence: predicted by a dependency head, probed with the network itself, or "auto": by a head where there is one."""

    tau: float = number(0.1)
    influence: Literal["auto", "head", "probe"] = one_of("auto", ("auto", "head", "probe"))
    head: str | None = path()
    probe_values: int | None = whole(None)  # that a probe tries per slot; None: `PROBE_VALUES`
    block_length: int | None = whole(None)

    def plan(self, name: str, network: Network) -> Plan:
        if self.head is not None and self.influence == "probe":
            raise OptionError('head=FILE and influence="probe" are both given; give one.')
        probe = self.influence == "probe" or (
            self.influence == "auto" and self.head is None and network.dependency_head is None
        )
        if self.probe_values is not None and not probe:
            raise OptionError(
                'probe_values are those that a probe tries, and a head needs none. Give influence="probe" with it, '
                "or leave it out."
            )
        head = None if probe else find_head(self.head, network, 'influence="probe"')
        return Plan(
            name,
            rule=LowInfluence(self.tau, reads_hidden=not probe),
            head=head,
            probe_values=self.probe_values or PROBE_VALUES,
        )


@dataclass(frozen=True)
class LowInfluence(UnmaskRule):
    """DEMASK (2604.02560): slots by falling confidence, each taken if the influence on it of those taken before still fits
    under `tau`. For the true influences, sub-additive ones, TV(joint, product) <= tau."""

    tau: float
    reads_hidden: bool  # for the head that predicts influences; else they are probed

    def select(self, c: Candidates) -> Tensor:
        influence_BSS = c.influence()
        order_BS = c.confidence_BS.argsort(dim=1, descending=True, stable=True)
        taken_BS = torch.zeros_like(c.real_BS)
        spent_B = torch.zeros_like(c.confidence_BS[:, 0])
        row_B = torch.arange(len(order_BS), device=order_BS.device)
        for next_B in order_BS.unbind(1):
            cost_B = (influence_BSS[row_B, :, next_B] * taken_BS).sum(1)
            fits_B = (spent_B + cost_B <= self.tau) & c.real_BS[row_B, next_B]
            taken_BS[row_B, next_B] = fits_B
            spent_B = spent_B + torch.where(fits_B, cost_B, 0.0)
        return taken_BS

    def claim(self, greedy: bool) -> LawClaim:
        if_ = "the head predicts influences right and they are" if self.reads_hidden else "influences are"
        return LawClaim(False, PRODUCT.reason, f"TV <= {self.tau:g} if {if_} sub-additive")


DEMASK = Method(
    "demask",
    DemaskOptions,
    "commit together what influences each other little",
    "DEMASK, arXiv 2604.02560",
    "bound, for sub-additive influences",
    "a dependency head, or influence=probe",
)
