"""One token per call, in a declared order: the chain rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from fef.decoders.method import CHAIN, Method
from fef.decoders.settings import Guided, Ordered, block_share
from fef.decoding.network import Network
from fef.decoding.options import one_of, whole
from fef.decoding.plan import Plan, Verify
from fef.decoding.requirements import check_law, exact_cache
from fef.decoding.transfer import PerRound
from fef.decoding.unmask import InOrder

__all__ = ["SEQUENTIAL", "SequentialOptions"]


@dataclass(frozen=True)
class SequentialOptions(Ordered, Guided):
    """One token per call; `block_steps` below `block_length` makes it several, which are then drawn independently (SDAR)."""

    block_steps: int | None = whole(None)
    verify: Verify = one_of("rows", get_args(Verify))
    cache: Literal["none", "prefix"] = one_of("none", ("none", "prefix"))

    def plan(self, name: str, network: Network) -> Plan:
        check_law(self.verify, network, self.guidance)
        return Plan(
            name,
            law=self.verify,
            rule=InOrder(block_share(self.block_length, self.block_steps) or PerRound(1)),
            cache=exact_cache(name, self.cache, self.verify, network, self.guidance),
        )


SEQUENTIAL = Method(
    "sequential",
    SequentialOptions,
    "one token per forward pass, in a declared order",
    "chain rule",
    CHAIN,
    visible_noise=True,
)
