"""Where the time of a pass goes, kernel by kernel; on a CPU, operation by operation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from fef.measure.timing import Work, synchronize

__all__ = ["REST", "ProfileRow", "profile_pass"]

_RUNS = 5
_MOST = 20  # rows of a table; what is left is one more
REST = "all others"


@dataclass(frozen=True)
class ProfileRow:
    """A kernel in a round of that window at a batch size: microseconds and launches per pass, share of all kernels.
    Kernels that start while the ones before them end count twice where they overlap, so the sum can exceed the pass."""

    batch: int
    window: int
    name: str
    microseconds: float
    count: float
    share: float


def profile_pass(batch: int, window: int, work: Work, restore: Work, device: torch.device) -> list[ProfileRow]:
    """The mean over a few runs, the most expensive first."""
    on_cuda = device.type == "cuda"
    time, count = Counter[str](), Counter[str]()
    for _ in range(_RUNS):
        restore()
        synchronize(device)
        with profile(activities=[ProfilerActivity.CUDA if on_cuda else ProfilerActivity.CPU]) as found:
            work()
            synchronize(device)
        for event in found.key_averages():
            if on_cuda and event.device_type.name != "CUDA":
                continue
            time[event.key] += event.self_device_time_total if on_cuda else event.self_cpu_time_total
            count[event.key] += event.count
    total = sum(time.values()) or 1.0

    def row(name: str, microseconds: float, launches: float) -> ProfileRow:
        return ProfileRow(batch, window, name, microseconds / _RUNS, launches / _RUNS, microseconds / total)

    first = time.most_common(_MOST)
    rows = [row(name, microseconds, count[name]) for name, microseconds in first]
    left = [name for name in time if name not in dict(first)]
    if left:
        rows.append(row(REST, sum(time[name] for name in left), sum(count[name] for name in left)))
    return rows
