"""Versions, hardware and weights that results were measured with, and the most memory that was held."""

from __future__ import annotations

import platform
import resource
from hashlib import sha256
from typing import Any

import numpy as np
import safetensors
import tokenizers
import torch

import fef
from fef.models.device import cpu_name

__all__ = ["GIB", "device_peak", "environment", "host_peak", "peak_bytes", "reset_peak", "weights_digest"]

GIB = 1 << 30


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware; nothing that names a machine, a person or a place."""
    found: dict[str, Any] = {
        "fef": fef.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
        "tokenizers": tokenizers.__version__,
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


def host_peak() -> float:
    """GiB that this process held at most, libraries and mapped files included. It never falls."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def device_peak(device: torch.device) -> float | None:
    """GiB of this process's tensors on a GPU; None of a CPU."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else None


def peak_bytes(device: torch.device) -> int:
    """Of tensors on a GPU, since `reset_peak`; of a CPU, what the process ever held."""
    peak = device_peak(device)
    return round((host_peak() if peak is None else peak) * GIB)


def reset_peak(device: torch.device) -> None:
    """Peaks count from here on a GPU; those of a CPU's process never fall."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
