"""The devices that something is computed on: are they there, and what are they called?"""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from fef.errors import OptionError
from fef.readers import shown

__all__ = ["check_dtype", "cpu_name", "default_device", "device_name", "from_hopper_on", "usable_device"]

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)  # of weights


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


def default_device() -> str:
    """Where to compute if nothing is said: a GPU, or the CPU where there is none."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def usable_device(name: str | torch.device, advice: str = "Use device='cpu'.") -> torch.device:
    """The device of that name. Raises OptionError, with the advice, for one that this machine cannot compute on."""
    reason = "it is none of cpu, cuda and cuda:N"  # torch's own words list every kind that it has a name for
    try:
        device = torch.device(name)
        torch.empty(1, device=device).tolist()  # what the device "meta" makes has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        if str(name).partition(":")[0] in ("cuda", "meta"):
            reason = str(error).partition("\n")[0].rstrip(".")
        raise OptionError(
            f"The device {str(name)!r} cannot be used here ({reason}); this machine has {gpus_here()}. {advice}"
        ) from error
    return device


def gpus_here() -> str:
    count = torch.cuda.device_count()
    return "no GPU" if count == 0 else "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"


def from_hopper_on(device: torch.device) -> bool:
    """Has a GPU the bulk copy engine, and kernels that start while the ones before them end (compute capability 9.0)?"""
    return torch.cuda.get_device_capability(device) >= (9, 0)


def check_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """Raise OptionError for what is no dtype of weights, and for one that the device computes in far too slowly."""
    if dtype not in DTYPES:
        raise OptionError(f"dtype={shown(dtype)} is not allowed: give {', '.join(map(str, DTYPES))}.")
    if dtype is torch.float16 and device.type == "cpu":
        raise OptionError("float16 is unusably slow on a CPU; give torch.bfloat16 or torch.float32.")
