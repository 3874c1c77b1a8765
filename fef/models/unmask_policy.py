"""The network of a learned unmasking policy (arXiv 2512.09106): from the confidence of each open slot to which are committed.

Shapes: B rows, S open slots, F features of a slot, H width.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from fef.errors import CheckpointError
from fef.models.rounded_file import UNREADABLE, short, write_tensors

__all__ = ["POLICY", "UnmaskPolicy", "load_policy", "save_policy"]

POLICY = "policy.safetensors"
FEATURES = 3  # confidence as a logit, place in the block, share of the block that is open
START = 0.9  # confidence at which a fresh policy commits with probability 1/2: Fast-dLLM's threshold
SLOPE = 2.0  # of its logit
SUREST = 16.0  # largest logit of a confidence that is told apart


class UnmaskPolicy(nn.Module):
    """One transformer block over the open slots of a block, without positions but for the feature. It reads no token and no
    hidden state, so it fits any network; what it adds to a threshold starts at zero."""

    def __init__(self, width: int = 64, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(FEATURES, width)
        self.norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.out = nn.Linear(width, 1)

    def reset(self, seed: int) -> None:
        """Fresh weights for training."""
        generator = torch.Generator(self.out.weight.device).manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.out.weight)

    def forward(self, confidence_BS: Tensor, place_BS: Tensor, open_B: Tensor, real_BS: Tensor) -> Tensor:
        """Logits [B, S] that a slot is committed, in the dtype of the weights.

        confidence_BS: largest probability at each slot. place_BS: where it is in its block, from 0 to 1. open_B: share of the
        block that is open. real_BS: which slots there are; what stands at others is not read.
        """
        dtype = self.out.weight.dtype
        sure_BS = confidence_BS.to(dtype).clamp(1e-6, 1 - 1e-7).logit().clamp(max=SUREST).masked_fill(~real_BS, 0.0)
        features_BSF = torch.stack([sure_BS, place_BS.to(dtype), open_B.to(dtype)[:, None].expand_as(sure_BS)], -1)
        features_BSF = features_BSF.masked_fill(~real_BS[..., None], 0.0)
        x_BSH = self.embed(features_BSF)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm(x_BSH)).chunk(3, -1)
        )
        seen_B11S = (real_BS | ~real_BS.any(1, keepdim=True))[:, None, None]
        x_BSH = x_BSH + self.mix(F.scaled_dot_product_attention(q, k, v, seen_B11S).transpose(1, 2).flatten(2))
        x_BSH = x_BSH + self.down(F.silu(self.up(self.inner_norm(x_BSH))))
        logits_BS: Tensor = SLOPE * (sure_BS - math.log(START / (1 - START))) + self.out(x_BSH)[..., 0]
        return logits_BS


def save_policy(path: Path, policy: UnmaskPolicy, trained_on: str) -> None:
    """Write it with the fingerprint of the network whose confidences it learned from. Raises CheckpointError."""
    sizes = {"width": str(policy.embed.out_features), "heads": str(policy.heads)}
    tensors = {name: weight.detach().bfloat16() for name, weight in policy.state_dict().items()}
    write_tensors(path, tensors, {"format": "pt", "model": trained_on, **sizes})


def load_policy(path: Path) -> UnmaskPolicy:
    """A policy, in float32 on the CPU. Raises CheckpointError for a file that is missing, damaged or something else."""
    try:
        with safe_open(path, "pt") as file:
            sizes = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        width, heads = int(sizes["width"]), int(sizes["heads"])
        if heads < 1 or width % heads:
            raise ValueError(f"{heads} heads of width {width}")
        with torch.device("meta"):  # sizes that are wrong take no memory
            policy = UnmaskPolicy(width, heads)
        policy.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path} is missing, damaged, or no unmasking policy ({short(error)}). Train one with `fef train --objective "
            "policy`."
        ) from error
    return policy.eval().requires_grad_(False)
