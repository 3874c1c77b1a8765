"""Networks of random weights: what passes of a size cost does not depend on what the weights are."""

from __future__ import annotations

from dataclasses import replace

import torch

from fef.errors import OptionError, nearest_hint
from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.quantize import quantize_
from fef.models.transformer import Transformer, allocate, blank

__all__ = ["RELEASED", "SHAPES", "random_network", "shape_config"]

_LLADA_VOCABULARY = 126_464
_LLADA_MASK = 126_336

# layers, width, heads, heads of keys and values, width of the MLP, vocabulary, mask id, tied embeddings
SHAPES: dict[str, tuple[int, int, int, int, int, int, int, bool]] = {
    "8b": (32, 4096, 32, 32, 12_288, _LLADA_VOCABULARY, _LLADA_MASK, False),
    "1b": (16, 2048, 16, 16, 6144, _LLADA_VOCABULARY, _LLADA_MASK, False),
    "135m": (30, 576, 9, 3, 1536, 49_152, 49_151, True),
    "100m": (12, 768, 12, 12, 2048, 32_768, 32_767, True),
    "10m": (8, 288, 6, 6, 768, 1024, 1021, True),
    "tiny": (2, 32, 2, 2, 64, 64, 63, False),
}

_SDAR = TransformerConfig(
    vocab_size=151_936,
    dim=4096,
    layers=36,
    heads=32,
    kv_heads=8,
    head_dim=128,
    mlp_dim=12_288,
    mask_id=151_669,
    attention="block-causal",
    block_length=4,
    qk_norm=True,
    tied_embeddings=False,
    rope_theta=1e6,
)
RELEASED: dict[str, TransformerConfig] = {
    "LLaDA-8B": TransformerConfig(
        vocab_size=_LLADA_VOCABULARY,
        dim=4096,
        layers=32,
        heads=32,
        mlp_dim=12_288,
        mask_id=_LLADA_MASK,
        tied_embeddings=False,
        rope_theta=500_000.0,
    ),
    "SDAR-8B, block 4": _SDAR,
    "SDAR-8B, block 16": replace(_SDAR, block_length=16),
    "LLaDA2-mini": TransformerConfig(
        vocab_size=157_184,
        dim=2048,
        layers=20,
        heads=16,
        kv_heads=4,
        head_dim=128,
        mlp_dim=5120,
        mask_id=156_895,
        attention="block-causal",
        block_length=32,
        qk_norm=True,
        tied_embeddings=False,
        rope_theta=600_000.0,
        rotary_dim=64,
        mixture=MixtureConfig(
            experts=256,
            per_token=8,
            expert_dim=512,
            shared_dim=512,
            dense_layers=(0,),
            scores="sigmoid",
            selection_bias=True,
            groups=8,
            top_groups=4,
            normalize=True,
            scale=2.5,
        ),
    ),
}
"""Released networks by size: what their config.json say."""


def shape_config(name: str) -> TransformerConfig:
    """The sizes of a named shape. Raises OptionError for an unknown name."""
    if name not in SHAPES:
        raise OptionError(f"Unknown shape {name!r}.{nearest_hint(name, SHAPES)}")
    layers, dim, heads, kv_heads, mlp_dim, vocab_size, mask_id, tied = SHAPES[name]
    return TransformerConfig(
        vocab_size=vocab_size,
        dim=dim,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        mlp_dim=mlp_dim,
        mask_id=mask_id,
        packed=True,
        tied_embeddings=tied,
        rope_theta=500_000.0,
    )


@torch.no_grad()
def random_network(
    config: TransformerConfig, device: torch.device, dtype: torch.dtype, weights: str | None = None, seed: int = 0
) -> Transformer:
    """A network whose weights are drawn on the device. Every matrix is random, none is zero: what a product of zeros costs
    in power, and so in clock, is less. weights: int8 or fp8, as in `fef.load`."""
    network = allocate(blank(config).to(dtype), device)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim >= 2:
            parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    network.eval()
    return network if weights is None else quantize_(network, weights)
