"""dKV-Cache (arXiv 2505.15781): keys cached one step after a token is revealed."""

from __future__ import annotations

from dataclasses import dataclass

from fef.decoders.method import CHECKPOINT, Method
from fef.decoders.settings import Counts
from fef.decoding.network import Network
from fef.decoding.options import whole
from fef.decoding.plan import Guidance, Plan
from fef.decoding.requirements import stale_cache
from fef.decoding.unmask import TopScore

__all__ = ["DELAYED_CACHE", "DelayedCacheOptions"]


@dataclass(frozen=True)
class DelayedCacheOptions(Counts):
    """dKV-Cache-Decode. As in the released code, the first two passes of a block are full: keys of what the first reveals
    are kept from the second on."""

    refresh: int = whole(4)

    def plan(self, name: str, network: Network) -> Plan:
        cache = stale_cache(name, "delayed", network, Guidance(), self.refresh, opening=2)
        rule = TopScore("drawn", self.transfer)
        return Plan(name, rule=rule, cache=cache)


DELAYED_CACHE = Method(
    "delayed-cache",
    DelayedCacheOptions,
    "low-confidence, with keys cached one step after a token is revealed",
    "dKV-Cache, arXiv 2505.15781",
    "none",
    CHECKPOINT,
)
