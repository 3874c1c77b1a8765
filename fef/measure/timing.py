"""Median time of work on a device: between CUDA events around the replay of a graph, or by the clock of the host on a CPU."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["Clock", "Stopwatch", "Work", "captured", "free_memory"]

_WARM_UP = 2
_HEAD_START = 500_000  # device cycles, some 0.3 ms: longer than a host takes to launch a graph

Work = Callable[[], object]


@dataclass(frozen=True)
class Clock:
    """Medians of `repeats` runs after two that do not count."""

    device: torch.device
    repeats: int = 20

    def seconds(self, work: Work, prepare: Work | None = None) -> float:
        """Median seconds of `work`; `prepare` runs before each, untimed."""
        once = self.on_device if self.device.type == "cuda" else self.on_host
        times = []
        for _ in range(_WARM_UP + self.repeats):
            if prepare is not None:
                prepare()
            times.append(once(work))
        return statistics.median(times[_WARM_UP:])

    def on_host(self, work: Work) -> float:
        watch = Stopwatch()
        work()
        return watch.seconds

    def on_device(self, work: Work) -> float:
        began = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        # both events and the work are queued before the device reaches the first
        torch.cuda._sleep(_HEAD_START)  # type: ignore[no-untyped-call]
        began.record()
        work()
        ended.record()
        ended.synchronize()
        return float(began.elapsed_time(ended)) / 1e3


class Stopwatch:
    """Time since it was made. device: whose work is waited for, before it begins and whenever it is read."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device
        self.wait()
        self.began, self.worked = time.perf_counter(), time.process_time()

    def wait(self) -> None:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def seconds(self) -> float:
        """By the clock."""
        self.wait()
        return time.perf_counter() - self.began

    @property
    def core_seconds(self) -> float:
        """That all threads of this process worked."""
        self.wait()
        return time.process_time() - self.worked


def captured(work: Work, device: torch.device) -> Work:
    """`work` as the replay of a CUDA graph; on a CPU, `work` itself. It must not wait for the device."""
    if device.type != "cuda":
        return work
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            work()
    torch.cuda.current_stream(device).wait_stream(stream)
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def free_memory(device: torch.device) -> None:
    """Give back what nothing holds any more, and count the peak of a GPU (`fef.measure.environment`) from here; call it
    before memory is measured or budgeted."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
