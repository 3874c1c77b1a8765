"""Where the time of training steps goes: the parts of a step, timed on the device, and its kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

__all__ = ["WARM", "StepProfile", "part"]

WARM = 10  # steps before those that are measured: they compile
ROWS = 40  # of the table of kernels


@dataclass(frozen=True)
class Moment:
    """Now, on the host and in the queue of the device."""

    seconds: float
    event: torch.cuda.Event | None

    @classmethod
    def now(cls, device: torch.device) -> Moment:
        event = None
        if device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
        return cls(time.perf_counter(), event)

    def until(self, later: Moment) -> tuple[float, float]:
        """Milliseconds on the device and on the host. The device must have reached both."""
        host = 1e3 * (later.seconds - self.seconds)
        if self.event is None or later.event is None:
            return host, host
        return self.event.elapsed_time(later.event), host


@dataclass(frozen=True)
class Timer:
    """The parts of some steps: name, beginning and end."""

    device: torch.device
    parts: list[tuple[str, Moment, Moment]]


TIMER: ContextVar[Timer | None] = ContextVar("TIMER", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """This is a part of a training step, with a time of its own where steps are measured. Parts do not hold each other."""
    timer = TIMER.get()
    if timer is None:
        yield
        return
    began = Moment.now(timer.device)
    yield
    timer.parts.append((name, began, Moment.now(timer.device)))


class StepProfile:
    """Times the parts of some steps, profiles the kernels of as many further ones, and says both. 0 steps: nothing."""

    def __init__(self, steps: int, device: torch.device, say: Callable[[str], None]) -> None:
        self.steps, self.device, self.say = steps, device, say
        self.count = 0
        self.timer = Timer(device, [])
        self.began: Moment | None = None
        self.profiler: profile | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around each step."""
        measured = self.count - WARM
        self.count += 1
        if not 0 <= measured < 2 * self.steps:
            yield
        elif measured < self.steps:
            yield from self.timed()
        else:
            yield from self.profiled()
        if self.steps and measured + 1 == self.steps:
            self.say(self.part_words(Moment.now(self.device)))
        if self.steps and measured + 1 == 2 * self.steps:
            self.say(self.kernel_words())

    def timed(self) -> Iterator[None]:
        if self.began is None:
            self.began = Moment.now(self.device)
        token = TIMER.set(self.timer)
        try:
            yield
        finally:
            TIMER.reset(token)

    def profiled(self) -> Iterator[None]:
        if self.profiler is None:
            self.wait()
            on_device = [ProfilerActivity.CUDA] if self.device.type == "cuda" else []
            self.profiler = profile(activities=[ProfilerActivity.CPU, *on_device])
            self.profiler.start()
        yield

    def part_words(self, ended: Moment) -> str:
        """Milliseconds per step of each part. On the device they include its waiting for the host."""
        assert self.began is not None
        self.wait()
        totals: dict[str, tuple[float, float]] = {}
        for name, start, stop in self.timer.parts:
            device, host = start.until(stop)
            before = totals.get(name, (0.0, 0.0))
            totals[name] = before[0] + device, before[1] + host
        totals["whole step"] = self.began.until(ended)
        lines = [f"{name:<12} {d / self.steps:12.2f} {h / self.steps:10.2f}" for name, (d, h) in totals.items()]
        title = f"Per step, of steps {WARM + 1} to {WARM + self.steps}:"
        return "\n".join([title, f"{'part':<12} {'device ms':>12} {'host ms':>10}", *lines])

    def kernel_words(self) -> str:
        assert self.profiler is not None
        self.wait()
        self.profiler.stop()
        events = self.profiler.key_averages()
        key, busy = "self_cpu_time_total", ""
        if self.device.type == "cuda":
            key = "self_device_time_total"
            kernels = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
            time_ms = sum(e.self_device_time_total for e in kernels) / self.steps / 1e3
            busy = f"\nKernels run {time_ms:.2f} ms per step, {sum(e.count for e in kernels) / self.steps:.0f} of them."
        table = events.table(sort_by=key, row_limit=ROWS, max_name_column_width=90)
        return f"Kernels of {self.steps} further steps:{busy}\n{table}"

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
