"""Names of the hardware that something was measured on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

__all__ = ["cpu_name", "device_name"]


def device_name(device: torch.device) -> str:
    """The name of a GPU, or of the CPU with the number of threads that compute on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, threads: {torch.get_num_threads()}"


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
