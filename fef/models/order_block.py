"""The order-causal layer of self-speculative masked diffusion (SSMD, arXiv 2510.03929), on a network that stays as it is.

Shapes: B rows, S slots in decoding order, D width of the network.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fef.errors import CheckpointError
from fef.models.demask import fingerprint
from fef.models.transformer import Block, RMSNorm, Transformer, additive_mask, rope_table

__all__ = ["ORDER_BLOCK", "OrderBlock", "load_order_block", "save_order_block"]

ORDER_BLOCK = "ssmd.safetensors"


class OrderBlock(nn.Module):
    """One layer over the open slots, causal in their order: it reads the hidden states of a pass that saw them as masks, and
    the token of each slot, and changes the hidden state of the slot behind. What it adds starts at zero."""

    def __init__(self, network: Transformer) -> None:
        super().__init__()
        self.config = config = replace(network.config, mixture=None)
        self.state_norm = RMSNorm(config.dim, config.norm_eps)
        self.token_norm = RMSNorm(config.dim, config.norm_eps)
        self.join = nn.Linear(3 * config.dim, config.dim, bias=False)
        self.block = Block(config, 0)
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.out = nn.Linear(config.dim, config.dim, bias=False)

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

    def forward(self, hidden_BSD: Tensor, tokens_BSD: Tensor, positions_BS: Tensor) -> Tensor:
        """Hidden states [B, S, D] that also know the tokens of the slots before; that of the first slot as it was.

        hidden_BSD: of a pass, at the slots. tokens_BSD: embeddings of their tokens. positions_BS: where they are.
        """
        if hidden_BSD.shape[1] < 2:
            return hidden_BSD
        state_BSD = self.state_norm(hidden_BSD)
        parts = [state_BSD[:, :-1], state_BSD[:, 1:], self.token_norm(tokens_BSD[:, :-1])]
        joined_BSD = self.join(torch.cat(parts, -1))
        size = joined_BSD.shape[1]
        causal_1SS = torch.ones(1, size, size, dtype=torch.bool, device=joined_BSD.device).tril()
        rotation = rope_table(positions_BS[:, :-1], self.config.rotary_size, self.config.rope_theta, joined_BSD.dtype)
        mixed_BSD, _ = self.block(joined_BSD, rotation, additive_mask(causal_1SS, joined_BSD.dtype), None)
        return torch.cat([hidden_BSD[:, :1], hidden_BSD[:, 1:] + self.out(self.norm(mixed_BSD))], 1)


def save_order_block(path: Path, block: OrderBlock, model: Transformer) -> None:
    """Write it in bfloat16 with the fingerprint of its network. Raises CheckpointError."""
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    tensors = {k: v.detach().to("cpu", torch.bfloat16).contiguous() for k, v in block.state_dict().items()}
    try:
        save_file(tensors, fresh, {"format": "pt", "model": fingerprint(model)})
        fresh.chmod(0o644)  # safetensors writes private files
        os.replace(fresh, path)
    except (OSError, SafetensorError) as error:
        fresh.unlink(missing_ok=True)
        raise CheckpointError(f"Could not write {path}: {error}. Give a file that you may write.") from error


def load_order_block(path: Path, model: Transformer) -> OrderBlock:
    """The layer of this network, on its device and in its dtype. Raises CheckpointError for a damaged file, and for the layer
    of another network."""
    try:
        with safe_open(path, "pt") as file:
            trained_on = (file.metadata() or {})["model"]
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        block = OrderBlock(model)
        block.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is missing, damaged, or no order-causal layer of this network ({error}). Train one with `fef train "
            "--objective ssmd`."
        ) from error
    if trained_on != fingerprint(model):
        raise CheckpointError(
            f"{path} was trained on the network {trained_on}, but this one is {fingerprint(model)}. Train a layer for it "
            "with `fef train --objective ssmd`."
        )
    return block.to(model.device, model.embed.weight.dtype).eval().requires_grad_(False)
