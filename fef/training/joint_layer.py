"""The loss of the joint layer of ADJUST (arXiv 2509.22738, section 4) on a network that stays as it is.

Shapes: B rows, L canvas length, S slots in a drawn order, K of all rows, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.models.joint_layer import JointLayer
from fef.models.transformer import Transformer
from fef.training.hidden_layer import drawn_slots
from fef.training.patterns import Canvases

__all__ = ["MOST_DRAWN", "joint_loss"]

MOST_DRAWN = 7  # tokens drawn before a law that is learned: eight a pass


def joint_loss(
    model: Transformer,
    layer: JointLayer,
    canvases: Canvases,
    masked_BL: Tensor,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """KL(network on the canvas that has the tokens drawn since, layer) at those of at most `count` masked slots that are
    still open; nats per token. From 1 to `MOST_DRAWN` tokens of the text are drawn before, each number half as likely as the
    one before it. Other masks stay, and the layer does not see them."""
    drawn = 1 + int(torch.rand((), generator=generator, device=masked_BL.device).log2().neg().clamp(max=MOST_DRAWN - 1))
    slots_BS, open_BS = drawn_slots(masked_BL, count, generator)
    real_BS = open_BS.clone()
    now_BL = canvases.ids_BL.masked_fill(masked_BL, model.mask_id)
    with torch.no_grad():
        hidden_BSD = model.hidden_at(now_BL, slots_BS, canvases.lengths_B)
    for _ in range(drawn):
        at_B1 = next_drawn(model, hidden_BSD.detach(), open_BS, generator)
        place_B1 = slots_BS.gather(1, at_B1)
        now_BL = now_BL.scatter(1, place_B1, canvases.ids_BL.gather(1, place_B1))
        open_BS = open_BS.scatter(1, at_B1, False)
        with torch.no_grad():
            tokens_BSD = model.embed(now_BL.gather(1, slots_BS))
        hidden_BSD = layer(hidden_BSD, tokens_BSD, slots_BS, real_BS)
    with torch.no_grad():
        true_KV = model.logits(model.hidden_at(now_BL, slots_BS, canvases.lengths_B)[open_BS]).float().log_softmax(-1)
    logp_KV = model.logits(hidden_BSD[open_BS]).float().log_softmax(-1)
    return torch.nn.functional.kl_div(logp_KV, true_KV, reduction="sum", log_target=True) / max(1, len(true_KV))


@torch.no_grad()
def next_drawn(model: Transformer, hidden_BSD: Tensor, open_BS: Tensor, generator: torch.Generator) -> Tensor:
    """Which of the open slots is drawn [B, 1], the first where a row has none: that of least entropy, as in decoding, or any,
    each in half of the rows. A token that was certain tells the other slots nothing."""
    logp_BSV = model.logits(hidden_BSD).float().log_softmax(-1)
    entropy_BS = -(logp_BSV.exp() * logp_BSV).sum(-1)
    drawn_BS = torch.rand(open_BS.shape, generator=generator, device=open_BS.device)
    any_B1 = torch.rand((len(open_BS), 1), generator=generator, device=open_BS.device) < 0.5
    return torch.where(any_B1, drawn_BS, entropy_BS).masked_fill(~open_BS, torch.inf).argmin(1, keepdim=True)
