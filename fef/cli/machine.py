"""What this machine and its packages offer, and what on it would be slow, and why."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

__all__ = ["Machine", "extras_of", "free_cores", "look_around", "packages", "slow_parts", "version_of"]

PACKAGES = ("torch", "numpy", "safetensors", "tokenizers", "huggingface-hub", "triton")
EXTRAS = ("plot", "adapt", "train", "eval", "grammar", "serve", "router")
BF16_HARDWARE = (8, 0)  # NVIDIA's compute capability of the first GPUs that compute in bfloat16
OVERLAP = (9, 0)  # and of those on which a kernel may begin before the one before it ends
SLOWER = 1.5  # so many times the time is called slow


@dataclass(frozen=True)
class Machine:
    """What `slow_parts` judges by."""

    cpu: str
    cores: int  # that this process may use
    threads: int  # that torch computes on
    gpu: str | None = None  # its name, if torch can use one
    capability: tuple[int, int] = (0, 0)  # of the GPU
    memory_gb: float = 0.0  # free, of the GPU if there is one
    torch: str = ""  # its version
    nvidia_driver: bool = False
    triton: bool = True
    product_ms: Mapping[str, float] = field(default_factory=dict)  # by dtype, of one matrix product
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that matter


def look_around() -> Machine:
    """Measure this machine; takes about a second."""
    import torch

    from fef.models.device import cpu_name

    gpu = torch.cuda.is_available()
    return Machine(
        cpu=cpu_name(),
        cores=free_cores(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if gpu else None,
        capability=torch.cuda.get_device_capability() if gpu else (0, 0),
        memory_gb=(torch.cuda.mem_get_info()[0] if gpu else free_memory()) / 1e9,
        torch=torch.__version__,
        nvidia_driver=Path("/proc/driver/nvidia/version").exists(),
        triton=version_of("triton") is not None,
        product_ms=measured_products("cuda" if gpu else "cpu"),
        environment={name: os.environ.get(name, "") for name in ("OMP_WAIT_POLICY", "PYTHONDONTWRITEBYTECODE")},
    )


def measured_products(device: str, size: int = 512, rounds: int = 5) -> dict[str, float]:
    """Milliseconds of the fastest of some products of square matrices, in the two dtypes that models are loaded in."""
    import torch

    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(size, size, dtype=dtype, device=device)
        found[str(dtype).removeprefix("torch.")] = min(milliseconds(matrix.mm, matrix) for _ in range(rounds))
    return found


def milliseconds(run: Callable[..., object], *given: object) -> float:
    """Of one call, and of what it set going on a GPU."""
    import torch

    began = time.perf_counter()
    run(*given)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) * 1e3


def free_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those it is bound to, and no more than its container is given."""
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        most, period = quota.read_text(encoding="utf-8").split()
        return max(1, min(bound, round(int(most) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return bound


def free_memory(file: Path = Path("/proc/meminfo")) -> float:
    """Bytes that can be had without swapping; 0 where the system does not say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", file.read_text(encoding="utf-8"))
    except OSError:
        return 0.0
    return 1024.0 * int(found[1]) if found else 0.0


def slow_parts(machine: Machine) -> list[str]:
    """A sentence for each thing that is slower here than it could be: what, why, and what to do."""
    found = []
    if machine.gpu is None and machine.nvidia_driver:
        found.append(
            f"Everything runs on the CPU: there is an NVIDIA driver, but torch {machine.torch} cannot use it. Install a "
            "build of torch for CUDA."
        )
    elif machine.gpu is None:
        found.append(
            "The engine's passes run in plain torch: its Triton kernels and CUDA graphs need an NVIDIA GPU, and torch "
            "sees none."
        )
    elif not machine.triton:
        found.append("The engine refuses packed rounds, and sessions run in plain torch: install the package triton.")
    elif machine.capability < OVERLAP:
        found.append("Kernels wait for each other's ends: to overlap they need a GPU of compute capability 9.0.")
    if machine.gpu is not None and machine.capability < BF16_HARDWARE:
        found.append(
            "bfloat16, the dtype of released checkpoints, is emulated by GPUs below compute capability 8.0: load them "
            "with --dtype float32 where they fit."
        )
    elif machine.product_ms.get("bfloat16", 0.0) > SLOWER * machine.product_ms.get("float32", float("inf")):
        times = machine.product_ms["bfloat16"] / machine.product_ms["float32"]
        found.append(
            f"A product in bfloat16, the dtype of released checkpoints, takes {times:.1f} times as long as in float32 "
            "here: load them with --dtype float32 where they fit."
        )
    if machine.threads > machine.cores:
        found.append(
            f"torch computes on {machine.threads} threads, but this process may use {machine.cores} cores: set "
            f"OMP_NUM_THREADS={machine.cores}."
        )
    if machine.environment.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        found.append("Idle threads spin (OMP_WAIT_POLICY=ACTIVE), which slows all else on a busy machine: unset it.")
    if machine.environment.get("PYTHONDONTWRITEBYTECODE"):
        found.append("Python compiles torch anew at every start (PYTHONDONTWRITEBYTECODE is set): unset it.")
    return found


def packages() -> dict[str, str | None]:
    """Versions of what fef computes with; None: not installed."""
    return {name: version_of(name) for name in PACKAGES}


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def extras_of(requirements: list[str] | None) -> dict[str, list[str]]:
    """By extra of fef, the packages that it asks for and that are not installed. requirements: of fef's own metadata."""
    missing: dict[str, list[str]] = {}
    for line in requirements or ():
        package, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if package and extra and extra[1] in EXTRAS:
            lacking = missing.setdefault(extra[1], [])
            if version_of(package[0]) is None:
                lacking.append(package[0])
    return missing
