"""Training of the order-causal layer of SSMD (arXiv 2510.03929, 4.1) on a network that stays as it is.

Shapes: B rows, L canvas length, S slots in a drawn order, K of all rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.errors import OptionError
from fef.laws.noise import Schedule
from fef.models.order_block import OrderBlock
from fef.models.transformer import Transformer
from fef.training.cross_entropy import weighted_cross_entropy
from fef.training.data import Examples, batch
from fef.training.patterns import Canvases, mask_canvases

__all__ = ["LayerOptions", "fit_order_block", "order_loss"]

PATTERNS = (0.7, 0.1, 0.2)  # of noisy, prefix and full rows (`mask_canvases`): the states of a random order, mostly


@dataclass(frozen=True)
class LayerOptions:
    """Settings of a fit."""

    steps: int = 1000  # of the optimizer
    batch_size: int = 32  # canvases per step
    canvas_length: int = 128  # tokens of an answer's canvas
    slots: int = 32  # of a round
    lr: float = 1e-3  # at the first step; falls to zero
    seed: int = 0  # draws batches, masks and orders

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "canvas_length", "slots"):
            if getattr(self, name) < (2 if name == "slots" else 1):
                raise OptionError(
                    f"{name.replace('_', '-')} is too small for a layer to learn from: {getattr(self, name)}."
                )


def fit_order_block(
    model: Transformer, examples: Examples, options: LayerOptions, progress: Callable[[int, float], None] | None = None
) -> OrderBlock:
    """AdamW on `order_loss`; the network stays. A function of its arguments."""
    layer = OrderBlock(model).to(model.device, model.embed.weight.dtype)
    layer.reset(options.seed)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=options.lr, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / options.steps)
    generator = torch.Generator(model.device).manual_seed(options.seed)
    eos_id = model.config.eos_id
    assert eos_id is not None, "examples end"
    for step in range(1, options.steps + 1):
        canvases = batch(examples, model.config, options.batch_size, options.canvas_length, 0.5, 0.0, generator)
        masked_BL = mask_canvases(canvases, eos_id, Schedule("linear"), PATTERNS, generator)
        loss = order_loss(model, layer, canvases, masked_BL, options.slots, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()
        if progress is not None and (step % 20 == 0 or step == options.steps):
            progress(step, float(loss.detach()))
    return layer.eval().requires_grad_(False)


def order_loss(
    model: Transformer,
    layer: OrderBlock,
    canvases: Canvases,
    masked_BL: Tensor,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Cross-entropy (nats per token, rows alike) of at most `count` masked tokens in a drawn order, each given what is not
    masked and those before it; the first, which the layer leaves as it is, does not count."""
    ids_BL = canvases.ids_BL
    drawn_BL = torch.rand(ids_BL.shape, generator=generator, device=ids_BL.device).masked_fill(~masked_BL, 2.0)
    key_BS, slots_BS = drawn_BL.topk(min(count, ids_BL.shape[1]), dim=1, largest=False)
    real_BS = key_BS <= 1
    real_BS[:, 0] = False
    label_BS = ids_BL.gather(1, slots_BS)
    with torch.no_grad():
        noisy_BL = ids_BL.masked_fill(masked_BL, model.mask_id)
        hidden_BSD = model.hidden_at(noisy_BL, slots_BS, canvases.lengths_B)
        tokens_BSD = model.embed(label_BS)
    states_BSD = layer(hidden_BSD, tokens_BSD, slots_BS)
    weight_BS = real_BS / real_BS.sum(1, keepdim=True).clamp(min=1) / len(ids_BL)
    head_VD = (model.embed.weight if model.head is None else model.head.weight).detach()
    total, _ = weighted_cross_entropy(states_BSD.flatten(0, 1), head_VD, label_BS.flatten(), weight_BS.flatten())
    return total
