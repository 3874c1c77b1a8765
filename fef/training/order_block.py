"""The loss of the order-causal layer of SSMD (arXiv 2510.03929, 4.1) on a network that stays as it is.

Shapes: B rows, L canvas length, S slots in a drawn order, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.models.order_block import OrderBlock
from fef.models.transformer import Transformer
from fef.training.cross_entropy import weighted_cross_entropy
from fef.training.hidden_layer import drawn_slots
from fef.training.patterns import Canvases

__all__ = ["order_loss"]


def order_loss(
    model: Transformer,
    layer: OrderBlock,
    canvases: Canvases,
    masked_BL: Tensor,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Cross-entropy (nats per token, rows alike) of at most `count` masked tokens in a drawn order, each given what is not
    masked and those before it; the first, which the layer leaves as it is, does not count, and no row that has only it."""
    ids_BL = canvases.ids_BL
    slots_BS, real_BS = drawn_slots(masked_BL, count, generator)
    real_BS[:, 0] = False
    label_BS = ids_BL.gather(1, slots_BS)
    with torch.no_grad():
        noisy_BL = ids_BL.masked_fill(masked_BL, model.mask_id)
        hidden_BSD = model.hidden_at(noisy_BL, slots_BS, canvases.lengths_B)
        tokens_BSD = model.embed(label_BS)
    states_BSD = layer(hidden_BSD, tokens_BSD, slots_BS)
    weight_BS = real_BS / real_BS.sum(1, keepdim=True).clamp(min=1) / real_BS.any(1).sum().clamp(min=1)
    head_VD = model.head_weight.detach()
    total, _ = weighted_cross_entropy(states_BSD.flatten(0, 1), head_VD, label_BS.flatten(), weight_BS.flatten())
    return total
