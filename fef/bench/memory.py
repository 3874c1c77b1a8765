"""The most memory that a process held: of its host, and of its device."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["GIB", "device_peak", "host_peak"]

GIB = 1 << 30


def host_peak() -> float | None:
    """GiB of this process, libraries and mapped files included (Linux); None elsewhere."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / GIB


def device_peak(device: torch.device) -> float | None:
    """GiB of this process's tensors on a GPU; None of a CPU."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else None
