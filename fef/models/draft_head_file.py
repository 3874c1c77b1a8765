"""The file of a draft head: int8 matrices with a scale per row, and a sample of the network that it was trained on.

The sample tells networks apart. A digest of the weights would not do: a network that is merged from a delta when it is
loaded has other last bits on another machine, and in another dtype.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fef.errors import CheckpointError
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.quantize import KINDS, quantize_rows
from fef.models.transformer import Transformer, allocate

__all__ = ["DRAFT_HEAD", "load_draft_head", "same_network", "sample_of", "save_draft_head"]

DRAFT_HEAD = "draft_head.safetensors"
FORMAT = "fef-draft-head-1"
SCALE, SAMPLE = ".scale", "network.sample"
SAMPLED = 32  # entries of each weight
ROUNDING = 2.0**-7  # twice the relative step of bfloat16, the coarsest dtype that a network is loaded in
LEAST_SAME = 0.98  # of the sampled entries
TRAIN = "`fef train --objective draft-head --init MODEL`"


def save_draft_head(path: Path, head: DraftHead, network: Transformer) -> None:
    """Write the head of this network, whole or not at all. Raises CheckpointError where that fails."""
    metadata = {"format": FORMAT, "sizes": json.dumps(asdict(head.sizes))}
    tensors: dict[str, Tensor] = {SAMPLE: sample_of(network)}
    for name, weight in head.state_dict().items():
        tensors[name] = weight.detach().float().cpu()
        if weight.ndim == 2:
            tensors[name], tensors[name + SCALE] = quantize_rows(tensors[name], KINDS["int8"])
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, fresh, metadata)
        fresh.chmod(0o644)  # safetensors writes private files
        os.replace(fresh, path)
    except (OSError, SafetensorError) as error:
        fresh.unlink(missing_ok=True)
        raise CheckpointError(f"Could not write {path}: {error}. Give a file that you may write.") from error


def load_draft_head(path: Path, network: Transformer) -> DraftHead:
    """The head of this network, in its dtype and on its device. Raises CheckpointError for a damaged file and for the
    head of another network."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["format"] != FORMAT:
            raise ValueError(f"its format is {metadata['format']!r}")
        sizes, sample_N = HeadSizes(**json.loads(metadata["sizes"])), tensors.pop(SAMPLE)
        with torch.device("meta"):
            blank = DraftHead(sizes)
        head = allocate(blank, "cpu")
        head.load_state_dict(unrounded(tensors))
    except FileNotFoundError:
        raise CheckpointError(f"There is no draft head {path}. {TRAIN} makes one.") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is damaged or no draft head ({short(error)}). Copy it again, make one with {TRAIN}, or load the model "
            "without it (head='none')."
        ) from error
    if not same_network(sample_N, network):
        raise CheckpointError(
            f"{path} was trained on another network than this one. Make one with {TRAIN}, or load the model without it "
            "(head='none')."
        )
    return head.to(network.device, network.embed.weight.dtype).eval().requires_grad_(False)


def unrounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float32."""
    return {
        name: tensor * tensors[name + SCALE][:, None] if name + SCALE in tensors else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE)
    }


def short(error: Exception) -> str:
    """The first line of what a library said."""
    return str(error).split("\n")[0][:120] or type(error).__name__


def sample_of(network: Transformer) -> Tensor:
    """Entries of every weight, at even distances, float32 [N]."""
    return torch.cat(
        [
            weight.detach().flatten()[:: max(1, weight.numel() // SAMPLED)].float().cpu()
            for _, weight in sorted(network.state_dict().items())
        ]
    )


def same_network(sample_N: Tensor, network: Transformer) -> bool:
    """Whether a sample is that of this network, but for rounding."""
    own_N = sample_of(network)
    if own_N.shape != sample_N.shape:
        return False
    near_N = (own_N - sample_N).abs() <= ROUNDING * torch.maximum(own_N.abs(), sample_N.abs())
    return float(near_N.float().mean()) >= LEAST_SAME
