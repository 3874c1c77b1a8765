"""Layers on the final hidden states of a network that stays as it is: what they share, and their file.

Shapes: B rows, S slots, P inputs of a slot, D width of the network, H width of the layer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from fef.errors import CheckpointError
from fef.models.rotation import rope_table
from fef.models.rounded_file import UNREADABLE, read_rounded, same_network, save_rounded, short
from fef.models.transformer import Block, RMSNorm, Transformer, additive_mask

__all__ = ["HiddenLayer", "load_layer", "save_layer"]

NARROWER = 3  # times fewer heads than the network: the layer of a small network is a small file


class HiddenLayer(nn.Module):
    """A block over states and tokens of slots, a third as wide as the network (heads of its size, at least one) and its
    feed-forward as wide as the network. What it adds starts at zero. objective: of `fef train`, and the name of its file.
    words: what it is, with its article."""

    objective: ClassVar[str]
    words: ClassVar[str]
    inputs: ClassVar[int]  # P: vectors that are joined for each slot

    def __init__(self, network: Transformer) -> None:
        super().__init__()
        dim, head_size = network.config.dim, network.config.head_size
        heads = max(1, network.config.heads // NARROWER)
        narrow = replace(
            network.config,
            dim=heads * head_size,
            heads=heads,
            kv_heads=None,
            head_dim=head_size,
            mlp_dim=dim,
            mixture=None,
        )
        self.config = narrow
        self.state_norm = RMSNorm(dim, narrow.norm_eps)
        self.token_norm = RMSNorm(dim, narrow.norm_eps)
        self.join = nn.Linear(self.inputs * dim, narrow.dim, bias=False)
        self.block = Block(narrow, 0)
        self.norm = RMSNorm(narrow.dim, narrow.norm_eps)
        self.out = nn.Linear(narrow.dim, dim, bias=False)

    def reset(self, seed: int) -> None:
        """Fresh weights for training."""
        generator = torch.Generator(self.out.weight.device).manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name == "out.weight" or name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim >= 2:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
            else:
                nn.init.ones_(parameter)

    def change(self, parts_PBSD: list[Tensor], positions_BS: Tensor, visible_BSS: Tensor) -> Tensor:
        """What is added to the hidden state of each slot [B, S, D]. visible_BSS: which slots each slot sees."""
        joined_BSH = self.join(torch.cat(parts_PBSD, -1))
        rotation = rope_table(positions_BS, self.config.rotary_size, self.config.rope_theta, joined_BSH.dtype)
        mixed_BSH, _ = self.block(joined_BSH, rotation, additive_mask(visible_BSS, joined_BSH.dtype), None)
        added_BSD: Tensor = self.out(self.norm(mixed_BSH))
        return added_BSD

    @classmethod
    def file(cls) -> str:
        return f"{cls.objective}.safetensors"


Layer = TypeVar("Layer", bound=HiddenLayer)


def save_layer(path: Path, layer: HiddenLayer, network: Transformer) -> None:
    """Write it with a sample of its network. Raises CheckpointError."""
    save_rounded(path, layer, network, f"fef-{layer.objective}-1", {})


def load_layer(path: Path, kind: type[Layer], network: Transformer) -> Layer:
    """The layer of this network, on its device and in its dtype. Raises CheckpointError for a damaged file, and for the layer
    of another network."""
    train = f"`fef train --objective {kind.objective}`"
    try:
        found = read_rounded(path, f"fef-{kind.objective}-1", network.embed.weight.dtype)
        layer = kind(network)
        layer.load_state_dict(found.weights)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path} is missing, damaged, or not {kind.words} of this network ({short(error)}). Train one with {train}."
        ) from error
    if not same_network(found.sample_N, network):
        raise CheckpointError(
            f"{path} was trained on another network than this one. Train a layer for it with {train}."
        )
    return layer.to(network.device, network.embed.weight.dtype).eval().requires_grad_(False)
