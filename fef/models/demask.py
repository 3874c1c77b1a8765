"""The dependency head of DEMASK: from the final hidden states of a pass to the influence of each open slot on each other.

Shapes: B rows, L canvas length, S slots, D width of the network, F features, R rank.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from fef.errors import CheckpointError
from fef.models.rounded_file import UNREADABLE, short, write_tensors
from fef.models.transformer import Transformer

__all__ = ["DEMASK", "DependencyHead", "fingerprint", "load_head", "save_head"]

DEMASK = "demask.safetensors"
SAMPLED = 64  # entries of each weight that the fingerprint reads


class DependencyHead(nn.Module):
    """Predicts `fef.laws.influence`: a sigmoid of W_q f_i . W_k f_j plus a bias a signed distance (arXiv 2604.02560).

    f = silu(W h) of the hidden states h. dim: width of the network. width: of f. rank: of queries and keys. reach:
    distances beyond it share one bias, tokens. temperature: of the laws whose influence it learned.
    """

    def __init__(self, dim: int, width: int = 256, rank: int = 64, reach: int = 32, temperature: float = 1.0) -> None:
        super().__init__()
        self.reach, self.temperature = reach, temperature
        self.feature = nn.Linear(dim, width)
        self.query = nn.Linear(width, rank)
        self.key = nn.Linear(width, rank)
        self.distance = nn.Parameter(torch.zeros(2 * reach + 1))

    def reset(self, seed: int) -> None:
        """Fresh weights for training: nearly independent at first, as most pairs of slots are."""
        generator = torch.Generator(self.distance.device).manual_seed(seed)
        for linear in (self.feature, self.query, self.key):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5, generator=generator)
            nn.init.zeros_(linear.bias)
        nn.init.constant_(self.distance, -3.0)

    def read_plain(self, mean_D: Tensor, deviation_D: Tensor) -> None:
        """Make a head that reads (h - mean) / deviation give the same for h: both become a part of its first layer."""
        self.feature.weight.copy_(self.feature.weight / deviation_D)
        self.feature.bias.sub_(self.feature.weight @ mean_D)

    def forward(self, hidden_BSD: Tensor, positions_BS: Tensor) -> Tensor:
        """influence[b, i, j] of slot i on slot j, [B, S, S] in [0, 1] in the dtype of the weights, 0 on the diagonal.

        hidden_BSD: the states that predict the slots (`Transformer.hidden_at`, which knows of shifted networks).
        positions_BS: where the slots are on the canvas; what stands at absent ones (-1) means nothing.
        """
        feature_BSF = F.silu(self.feature(hidden_BSD.to(self.feature.weight.dtype)))
        query_BSR, key_BSR = self.query(feature_BSF), self.key(feature_BSF)
        offset_BSS = positions_BS[:, None, :] - positions_BS[:, :, None]
        bias_BSS = self.distance[offset_BSS.clamp(-self.reach, self.reach) + self.reach]
        influence_BSS: Tensor = (query_BSR @ key_BSR.mT / math.sqrt(query_BSR.shape[-1]) + bias_BSS).sigmoid()
        diagonal_SS = torch.eye(positions_BS.shape[1], dtype=torch.bool, device=positions_BS.device)
        return influence_BSS.masked_fill(diagonal_SS, 0.0)


def save_head(path: Path, head: DependencyHead, model: Transformer) -> None:
    """Write the head with the fingerprint of the network that it was trained on. Raises CheckpointError."""
    metadata = {
        "format": "pt",
        "model": fingerprint(model),
        "dim": str(head.feature.in_features),
        "width": str(head.feature.out_features),
        "rank": str(head.query.out_features),
        "reach": str(head.reach),
        "temperature": str(head.temperature),
    }
    write_tensors(path, {name: weight.detach().float() for name, weight in head.state_dict().items()}, metadata)


def load_head(path: Path, model: Transformer) -> DependencyHead:
    """The head of this network, on its device. Raises CheckpointError for a damaged file or the head of another network."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        trained_on, temperature = metadata["model"], float(metadata["temperature"])
        dim, width, rank, reach = (int(metadata[name]) for name in ("dim", "width", "rank", "reach"))
        with torch.device("meta"):  # sizes that are wrong take no memory
            head = DependencyHead(dim, width, rank, reach, temperature)
        head.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no dependency head {path}. `fef train-demask` makes one.") from None
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path} is damaged or no dependency head ({short(error)}). Copy it again, or make one with `fef train-demask`."
        ) from error
    if dim != model.config.dim:
        raise CheckpointError(
            f"{path} reads hidden states of width {dim}, but this network's have width {model.config.dim}. Train a head "
            "for it with `fef train-demask`."
        )
    if model.embed.weight.dtype is torch.float16:
        raise CheckpointError(
            f"Whether {path} belongs to this network cannot be told in float16, which rounds the weights anew. Load the "
            "network in float32 or bfloat16."
        )
    if trained_on != fingerprint(model):
        raise CheckpointError(
            f"{path} was trained on the network {trained_on}, but this one is {fingerprint(model)}. Train a head for it "
            "with `fef train-demask`."
        )
    return head.to(model.device).eval().requires_grad_(False)


def fingerprint(model: Transformer) -> str:
    """16 hex digits that tell networks apart: their settings and a sample of every weight.

    Values are read as bfloat16, so that one checkpoint has one fingerprint in float32 and bfloat16; settings at their
    default are left out, so that it outlives settings added later.
    """
    config, values = model.config, model.config.to_dict()
    settings = {f.name: values[f.name] for f in fields(config) if getattr(config, f.name) != f.default}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, weight in sorted(model.state_dict().items()):
        sample = weight.detach().flatten()[:: max(1, weight.numel() // SAMPLED)]
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(sample.to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]
