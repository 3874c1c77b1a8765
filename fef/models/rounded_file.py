"""The file of a part that learned from a network: int8 matrices with a scale per row, and a sample of that network.

The sample tells networks apart. A digest of the weights would not do: a network that is merged from a delta when it is
loaded has other last bits on another machine, and in another dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fef.errors import CheckpointError
from fef.files import write_whole
from fef.models.quantize import KINDS, quantize_rows
from fef.models.transformer import Transformer

__all__ = [
    "UNREADABLE",
    "Rounded",
    "read_rounded",
    "same_network",
    "sample_of",
    "save_rounded",
    "short",
    "write_tensors",
]

FORMAT, SCALE, SAMPLE = "format", ".scale", "network.sample"
SAMPLED = 32  # entries of each weight
ROUNDING = 2.0**-7  # twice the relative step of bfloat16, the coarsest dtype that a network is loaded in
LEAST_SAME = 0.98  # of the sampled entries
UNREADABLE = (OSError, SafetensorError, LookupError, AttributeError, TypeError, ValueError, RuntimeError)
"""What reading a file may raise, and filling a part from it."""


@dataclass(frozen=True)
class Rounded:
    """What a file holds. weights: by name. sample_N: of the network that the part learned from."""

    metadata: Mapping[str, str]
    weights: dict[str, Tensor]
    sample_N: Tensor


def save_rounded(path: Path, part: nn.Module, network: Transformer, format_: str, metadata: Mapping[str, str]) -> None:
    """Write a part of this network, whole or not at all. Raises CheckpointError where that fails."""
    tensors: dict[str, Tensor] = {SAMPLE: sample_of(network)}
    for name, weight in part.state_dict().items():
        tensors[name] = weight.detach().float().cpu()
        if weight.ndim == 2:
            tensors[name], tensors[name + SCALE] = quantize_rows(tensors[name], KINDS["int8"])
    write_tensors(path, tensors, {FORMAT: format_, **metadata})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all. Raises CheckpointError where that fails."""
    try:
        write_whole(path, save({name: t.cpu().contiguous() for name, t in tensors.items()}, dict(metadata)))
    except OSError as error:
        raise CheckpointError(
            f"Could not write {path}: {error.strerror or error}. What was there before is unchanged; give a file that you "
            "may write."
        ) from error


def read_rounded(path: Path, format_: str, dtype: torch.dtype) -> Rounded:
    """With weights in `dtype`, each multiplied in float32. Raises one of `UNREADABLE` for a file that is damaged, or of
    another format."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if metadata[FORMAT] != format_:
        raise ValueError(f"its format is {metadata[FORMAT]!r}")
    sample_N = tensors.pop(SAMPLE)
    if not sample_N.is_floating_point():
        raise ValueError(f"{SAMPLE} is {sample_N.dtype}")
    names = [name for name in tensors if not name.endswith(SCALE)]
    return Rounded(metadata, {name: read_weight(tensors, name).to(dtype) for name in names}, sample_N)


def read_weight(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """In float32. Raises ValueError for a matrix without its scale, and for numbers that are none."""
    weight, scale_R = tensors[name], tensors.get(name + SCALE)
    if (scale_R is None) == (weight.dtype == torch.int8) or (scale_R is None and not weight.is_floating_point()):
        raise ValueError(f"{name} is {weight.dtype} with {'no scale' if scale_R is None else 'a scale'}")
    weight = weight.float() if scale_R is None else weight * scale_R[:, None]
    if not bool(weight.isfinite().all()):
        raise ValueError(f"{name} has numbers that are not finite")
    return weight


def short(error: Exception) -> str:
    """The first line of what a library said, but for a heading."""
    said = [line.strip() for line in str(error).split("\n") if not line.endswith(":")]
    return said[0][:120] if said and said[0] else type(error).__name__


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
