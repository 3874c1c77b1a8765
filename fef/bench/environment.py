"""Versions, hardware and weights that results were measured with."""

from __future__ import annotations

import platform
from hashlib import sha256
from typing import Any

import numpy as np
import safetensors
import tokenizers
import torch

import fef
from fef.models.device import cpu_name

__all__ = ["environment", "weights_digest"]


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
