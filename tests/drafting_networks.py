"""Networks with a draft head of random weights, whose drafts are as bad as they come."""

from __future__ import annotations

from typing import Any

from tiny_network import tiny_network

from fef.models.extras import Extras
from fef.models.transformer import Transformer
from fef.verify.tables import tiny_draft_head

__all__ = ["drafting", "drafting_network"]


def drafting(network: Transformer, depths: int = 16) -> Transformer:
    network.extras = Extras(draft_head=tiny_draft_head(network, depths))
    return network


def drafting_network(depths: int = 16, **config: Any) -> Transformer:
    return drafting(tiny_network(**{"scale": 0.3} | config), depths)
