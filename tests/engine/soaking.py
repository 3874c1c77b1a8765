"""Very many requests through one engine, a few of them given up on the way, and what they leave behind."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asking import METHODS, Ask

from fef.engine.engine import Engine, Job
from fef.errors import EngineError, OptionError

__all__ = ["STATM", "Report", "Soak"]

LIBC = ctypes.CDLL(None)
STATM = Path("/proc/self/statm")
WAVES = 10


@dataclass
class Report:
    """digests: of tokens and log p, by request; None where it was cancelled. memory: bytes by name, after the first tenth and
    at the end."""

    digests: dict[int, bytes | None] = field(default_factory=dict)
    refused: int = 0
    tokens: int = 0
    seconds: float = 0.0
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return len(self.digests) - self.cancelled

    @property
    def cancelled(self) -> int:
        return sum(digest is None for digest in self.digests.values())

    @property
    def growth(self) -> float:
        return max(after / before for before, after in self.memory.values())


Method = Callable[[random.Random], dict[str, Any]]


def packed(dice: random.Random) -> dict[str, Any]:
    """A method of packed rounds with its options."""
    return dice.choice([METHODS[0]] * 6 + METHODS)


class Soak:
    """Requests by number: each always the same."""

    def __init__(self, network, longest: int, *, exact: bool, method: Method = packed, **options: Any) -> None:
        """longest: tokens of a canvas. exact: log p count, too, bit for bit. method: draws one. options: of the engine."""
        self.network, self.longest, self.exact, self.method, self.options = network, longest, exact, method, options

    def engine(self, **others: Any) -> Engine:
        return Engine(self.network, max_length=self.longest, **self.options | others)

    def ask(self, number: int) -> Ask:
        dice = random.Random(number)
        mask, size = self.network.mask_id, self.network.vocab_size
        # one in fifty is too long
        length = dice.randint(2, self.longest) if dice.random() < 0.98 else self.longest + dice.randint(1, 9)
        ids = [dice.randrange(size) for _ in range(length)]
        start = dice.randrange(length)
        stop = min(length, start + dice.randint(1, max(2, self.longest // 2)))
        open_ = [p for p in range(start, stop) if p == start or dice.random() < 0.95]
        for p in open_:
            ids[p] = mask
        settings = {
            "temperature": dice.choice([0.0, 0.7, 1.0, dice.random() * 2]),
            "top_p": dice.choice([1.0, 1.0, 0.9, dice.random() + 1e-6]),
            "top_k": dice.choice([0, 0, 0, dice.randint(1, 50)]),
            "seed": dice.randrange(2**63),
        }
        return Ask(ids, open_, settings | self.method(dice))

    def submit(self, engine: Engine, number: int) -> Job:
        asked = self.ask(number)
        return engine.submit(asked.ids, asked.open, **asked.settings)

    def digest(self, job: Job) -> bytes:
        filled = job.result()
        found = hashlib.sha256(np.array(filled.tokens).tobytes())
        if self.exact:
            found.update(np.array(filled.logprobs).tobytes())
        return found.digest()[:8]

    def run(
        self,
        engine: Engine,
        numbers: Iterable[int],
        *,
        cancel: bool,
        waves: int = WAVES,
        look: Callable[[int, Job], None] = lambda _number, _job: None,
    ) -> Report:
        """They come while others run, and a few are given up on the way; after each wave the engine runs empty. look: at each
        that was not given up."""
        numbers, dice, report = list(numbers), random.Random(0), Report()
        size = -(-len(numbers) // waves)
        before: dict[str, int] = {}
        began = time.perf_counter()
        for start in range(0, len(numbers), size):
            jobs: dict[int, Job] = {}
            for number in numbers[start : start + size]:
                try:
                    jobs[number] = self.submit(engine, number)
                except (EngineError, OptionError):
                    report.refused += 1
                if dice.random() < 0.05:
                    engine.step()
                if cancel and jobs and dice.random() < 0.05:
                    dice.choice(list(jobs.values())[-100:]).cancel()
            engine.run()
            for number, job in jobs.items():
                report.digests[number] = None if job.status == "cancelled" else self.digest(job)
                if job.filled is not None:
                    report.tokens += job.filled.counters["committed"]
                    look(number, job)
            del jobs, job
            before = before or memory_of(engine)
        report.seconds = time.perf_counter() - began
        after = memory_of(engine)
        report.memory = {name: (before[name], after[name]) for name in before}
        return report

    def alone(self, numbers: Iterable[int], **others: Any) -> dict[int, bytes]:
        engine = self.engine(**others)
        return {number: self.digest(self.submit(engine, number)) for number in numbers}


def memory_of(engine: Engine) -> dict[str, int]:
    gc.collect()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)  # what is free counts as resident until it is given back
    found = {"resident": int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")}
    if engine.device.type == "cuda":
        torch.cuda.synchronize()
        found["cuda"] = torch.cuda.memory_allocated()
    return found
