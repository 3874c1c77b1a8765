"""A tiny random transformer in float64 whose every weight matters."""

from __future__ import annotations

from typing import Any

import torch

from fef.models.config import TransformerConfig
from fef.models.transformer import Transformer

MASK = 7
EOS = 2


def tiny_network(seed: int = 0, scale: float = 0.5, **config: Any) -> Transformer:
    values = {"vocab_size": 8, "dim": 16, "layers": 2, "heads": 2, "mlp_dim": 24, "mask_id": MASK, "packed": True}
    model = Transformer(TransformerConfig(**(values | config))).double()
    model.reset(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():  # `reset` leaves residual branches at zero
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model.eval().requires_grad_(False)
