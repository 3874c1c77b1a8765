"""The ids of the tiny random transformer that many tests share."""

from typing import Any

import torch

from fef.models.demask import DependencyHead
from fef.models.transformer import Transformer
from fef.verify.tables import tiny_causal, tiny_joint_layer, tiny_network, tiny_order_block, tiny_policy

__all__ = [
    "EOS",
    "MASK",
    "complete_network",
    "tiny_causal",
    "tiny_joint_layer",
    "tiny_network",
    "tiny_order_block",
    "tiny_policy",
]

MASK = 7
EOS = 2


def complete_network(**config: Any) -> Transformer:
    """One that comes with all that some method reads."""
    found = tiny_network(scale=0.3, **config)
    torch.manual_seed(0)
    found.dependency_head = DependencyHead(found.config.dim, rank=4)  # type: ignore[assignment]
    found.information_profile = (1.5, 1.0, 0.8, 0.3, 0.2)  # type: ignore[assignment]
    found.order_block = tiny_order_block(found)
    found.joint_layer = tiny_joint_layer(found)
    found.causal_model = tiny_causal()
    found.unmask_policy = tiny_policy()
    return found
