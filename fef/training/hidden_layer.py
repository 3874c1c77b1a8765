"""Training of a layer on the hidden states of a network that stays as it is (`fef.models.hidden_layer`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from fef.errors import OptionError
from fef.models.hidden_layer import HiddenLayer
from fef.models.transformer import Transformer
from fef.training.data import Examples, batch
from fef.training.limits import check_counts
from fef.training.patterns import Canvases, decoding_masks, numbers_on

__all__ = ["LayerLoss", "LayerOptions", "drawn_slots", "fit_layer", "mean_losses"]

ANY = 1e9  # positions: so far apart that where they were does not matter
Layer = TypeVar("Layer", bound=HiddenLayer)
LayerLoss = Callable[[Transformer, Layer, Canvases, Tensor, int, torch.Generator], Tensor]
"""(network, layer, canvases, masked slots [B, L], slots of a round, generator) -> nats per token."""


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
        check_counts(self, ("steps", "batch_size", "canvas_length", "slots"))
        if self.slots < 2:
            raise OptionError("slots must be at least 2, for one to depend on another; got 1. Raise it.")


def fit_layer(
    model: Transformer,
    kind: type[Layer],
    loss_of: LayerLoss[Layer],
    examples: Examples,
    options: LayerOptions,
    progress: Callable[[int, float], None] | None = None,
) -> Layer:
    """AdamW on a loss of masked texts; the network stays. A function of its arguments."""
    layer = kind(model).to(model.device, model.embed.weight.dtype)
    layer.reset(options.seed)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=options.lr, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / options.steps)
    device = model.device
    generator = torch.Generator(device).manual_seed(options.seed)
    for step in range(1, options.steps + 1):
        canvases, masked_BL = masked_batch(model, examples, options, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = loss_of(model, layer, canvases, masked_BL, options.slots, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        rates.step()
        if progress is not None and (step % 20 == 0 or step == options.steps):
            progress(step, float(loss.detach()))
    return layer.eval().requires_grad_(False)


@torch.no_grad()
def mean_losses(
    model: Transformer, layer: Layer, loss_of: LayerLoss[Layer], examples: Examples, options: LayerOptions, batches: int
) -> tuple[float, float]:
    """The loss of the network alone, and that with the layer, on the same batches; nats per token."""
    fresh = type(layer)(model).to(model.device, model.embed.weight.dtype)
    fresh.reset(0)
    sums = [0.0, 0.0]
    for number in range(batches):
        for at, each in enumerate((fresh, layer)):
            generator = torch.Generator(model.device).manual_seed(number)
            canvases, masked_BL = masked_batch(model, examples, options, generator)
            sums[at] += float(loss_of(model, each, canvases, masked_BL, options.slots, generator)) / batches
    return sums[0], sums[1]


def masked_batch(
    model: Transformer, examples: Examples, options: LayerOptions, generator: torch.Generator
) -> tuple[Canvases, Tensor]:
    eos_id = model.config.eos_id
    assert eos_id is not None, "examples end"
    canvases = batch(examples, model.config, options.batch_size, options.canvas_length, 0.5, 0.0, generator)
    return canvases, decoding_masks(canvases, eos_id, generator)


def drawn_slots(masked_BL: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most `count` masked positions of each row in a drawn order [B, S], and which there are.

    The order is from left to right in a third of the rows, and any in a third. In the others each position is moved right by
    up to some length, drawn for the row, and the order is from left to right then: near ones come soon, as in blocks.
    """
    device, (B, L) = masked_BL.device, masked_BL.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    kind_B1 = torch.randint(3, (B, 1), generator=generator, device=device)
    reach_B1 = torch.where(kind_B1 == 1, uniform(B, 1) * (L // 2), numbers_on(device, [0.0, 0.0, ANY])[kind_B1])
    place_BL = torch.arange(L, device=device) + uniform(B, L) * reach_B1
    key_BS, slots_BS = place_BL.masked_fill(~masked_BL, torch.inf).topk(min(count, L), dim=1, largest=False)
    return slots_BS, key_BS.isfinite()
