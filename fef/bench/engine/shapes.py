"""Networks of random weights: what passes of a size cost does not depend on what the weights are."""

from __future__ import annotations

from typing import Any

import torch

from fef.errors import OptionError, nearest_hint
from fef.models.config import TransformerConfig
from fef.models.quantize import quantize_
from fef.models.transformer import Transformer, allocate, blank
from fef.training.sharding import held_rows

__all__ = ["SHAPES", "draw_weights_", "random_network", "shape_config"]

FIELDS = ("layers", "dim", "heads", "kv_heads", "mlp_dim", "vocab_size", "mask_id", "tied_embeddings")
SHAPES = {
    "8b": (32, 4096, 32, 32, 12_288, 126_464, 126_336, False),
    "1b": (16, 2048, 16, 16, 6144, 126_464, 126_336, False),
    "135m": (30, 576, 9, 3, 1536, 49_152, 49_151, True),
    "100m": (12, 768, 12, 12, 2048, 32_768, 32_767, True),
    "10m": (8, 288, 6, 6, 768, 1024, 1021, True),
    "tiny": (2, 32, 2, 2, 64, 64, 63, False),
}


def shape_config(name: str) -> TransformerConfig:
    """The sizes of a named shape. Raises OptionError for an unknown name."""
    if name not in SHAPES:
        raise OptionError(f"Unknown shape {name!r}.{nearest_hint(name, SHAPES)}")
    sizes: dict[str, Any] = dict(zip(FIELDS, SHAPES[name], strict=True))
    return TransformerConfig(packed=True, rope_theta=500_000.0, **sizes)


def random_network(
    config: TransformerConfig, device: torch.device, dtype: torch.dtype, weights: str | None = None
) -> Transformer:
    """A network of random weights. weights: int8 or fp8, as in `fef.load`."""
    network = draw_weights_(allocate(blank(config).to(dtype), device)).eval()
    return network if weights is None else quantize_(network, weights)


@torch.no_grad()
def draw_weights_(network: Transformer, seed: int = 0) -> Transformer:
    """Draw the weights on their device; of sharded ones the shards. Every matrix is random, none is zero: what a product of
    zeros costs in power, and so in clock, is less."""
    generator = torch.Generator(network.device).manual_seed(seed)
    for name, parameter in network.named_parameters():
        first, rows = held_rows(parameter)
        if parameter.ndim == 1:
            rows.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            drawn = torch.empty(parameter.shape, dtype=rows.dtype, device=rows.device)
            drawn.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
            rows.copy_(drawn[first : first + len(rows)])
    return network
