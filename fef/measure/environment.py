"""Versions, hardware and weights that results were measured with, and the most memory that was held."""

from __future__ import annotations

import platform
import resource
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import torch

import fef
from fef.models.device import cpu_name

__all__ = ["ENVIRONMENT", "HOST", "environment", "peak_bytes", "weights_digest"]

HOST = torch.device("cpu")
ENVIRONMENT = {"fef": str, "torch": str, "python": str, "device": str, "cpu": str, "threads": int}
"""What every page says of an environment, as `fef.measure.fields` takes types."""


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware; nothing that names a machine, a person or a place."""
    found: dict[str, Any] = {
        "fef": fef.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "safetensors", "tokenizers")},
        "system": platform.system(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "device": torch.device(device).type,
    }
    if torch.device(device).type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def weights_digest(network: torch.nn.Module) -> str:
    """Equal for networks of equal weights."""
    digest = sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def peak_bytes(device: torch.device) -> int:
    """The most that tensors held on a GPU since `free_memory`; of a CPU, that this process ever held, libraries and mapped
    files included, which never falls."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
