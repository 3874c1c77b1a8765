"""Networks with a draft head of random weights, whose drafts are as bad as they come."""

from __future__ import annotations

from typing import Any

import torch
from tiny_network import tiny_network

from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.transformer import Transformer

__all__ = ["drafting", "drafting_network"]


def drafting(network: Transformer, depths: int = 16, seed: int = 0) -> Transformer:
    """The network with a head that moves its drafts."""
    head = DraftHead(HeadSizes.of(network.config, depths=depths))
    head.reset(seed)
    torch.nn.init.normal_(head.out_norm.weight, generator=torch.Generator().manual_seed(seed))
    head = head.to(network.device, network.embed.weight.dtype).requires_grad_(False)
    network.extras = Extras(draft_head=head)
    return network


def drafting_network(depths: int = 16, **config: Any) -> Transformer:
    return drafting(tiny_network(**{"scale": 0.3} | config), depths)
