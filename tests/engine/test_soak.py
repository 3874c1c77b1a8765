"""Very many requests of every kind through one engine: none is lost, none depends on the others, and memory stays as it is.

    FEF_SOAK=10000 python -m pytest -s -m slow tests/engine/test_soak.py

runs that many requests on the demo checkpoint, on a GPU in bfloat16 where there is one (two to three minutes), and prints its
figures. On a CPU 300 take a minute or two.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asking import METHODS
from tiny_network import EOS, tiny_network

from fef.engine.engine import Engine, Job
from fef.engine.runner import TorchPasses
from fef.errors import EngineError
from fef.models.checkpoint import demo_path, load_checkpoint

LIBC = ctypes.CDLL(None)
STATM = Path("/proc/self/statm")
FLAT = 1.01
WAVES = 10
needs_proc = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


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
    def cancelled(self) -> int:
        return sum(digest is None for digest in self.digests.values())

    @property
    def growth(self) -> float:
        return max(after / before for before, after in self.memory.values())


class Soak:
    """Requests by number: each always the same."""

    def __init__(self, network, longest: int, *, exact: bool, **options: Any) -> None:
        """longest: tokens of a canvas. exact: log p count, too, bit for bit. options: of the engine."""
        self.network, self.longest, self.exact, self.options = network, longest, exact, options

    def engine(self, **others: Any) -> Engine:
        return Engine(self.network, max_length=self.longest, **self.options | others)

    def submit(self, engine: Engine, number: int) -> Job:
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
        return engine.submit(
            ids,
            open_,
            temperature=dice.choice([0.0, 0.7, 1.0, dice.random() * 2]),
            top_p=dice.choice([1.0, 1.0, 0.9, dice.random() + 1e-6]),
            top_k=dice.choice([0, 0, 0, dice.randint(1, 50)]),
            seed=dice.randrange(2**63),
            **dice.choice([METHODS[0]] * 6 + METHODS),
        )

    def digest(self, job: Job) -> bytes:
        filled = job.result()
        found = hashlib.sha256(np.array(filled.tokens).tobytes())
        if self.exact:
            found.update(np.array(filled.logprobs).tobytes())
        return found.digest()[:8]

    def run(self, engine: Engine, numbers: Iterable[int], *, cancel: bool, waves: int = WAVES) -> Report:
        """They come while others run, and a few are given up on the way; after each wave the engine runs empty."""
        numbers, dice, report = list(numbers), random.Random(0), Report()
        size = -(-len(numbers) // waves)
        before: dict[str, int] = {}
        began = time.perf_counter()
        for start in range(0, len(numbers), size):
            jobs: dict[int, Job] = {}
            for number in numbers[start : start + size]:
                try:
                    jobs[number] = self.submit(engine, number)
                except EngineError:
                    report.refused += 1
                if dice.random() < 0.05:
                    engine.step()
                if cancel and jobs and dice.random() < 0.05:
                    dice.choice(list(jobs.values())[-100:]).cancel()
            engine.run()
            for number, job in jobs.items():
                report.digests[number] = None if job.status == "cancelled" else self.digest(job)
                report.tokens += 0 if job.filled is None else job.filled.counters["committed"]
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


def nothing_is_left(engine: Engine) -> bool:
    return (
        not engine.busy and sorted(engine.packed.free) == list(range(engine.packed.built.slots)) and engine.lost is None
    )


@pytest.fixture(scope="module")
def tiny() -> Soak:
    network = tiny_network(scale=0.3)
    return Soak(network, 24, exact=False, eos_id=EOS, max_batch=5, windows=(2, 6), threads=2)


@needs_proc
def test_hundreds_of_requests(tiny):
    count = 160
    engine = tiny.engine()
    report = tiny.run(engine, range(count), cancel=True)
    assert nothing_is_left(engine)
    assert len(report.digests) + report.refused == count
    assert report.refused > 0 and report.cancelled > 0
    kept = [number for number, digest in report.digests.items() if digest is not None]
    alone = tiny.alone(kept)
    assert alone == {number: report.digests[number] for number in kept}
    assert report.growth < FLAT, report.memory
    assert len(set(alone.values())) > count / 2


@needs_proc
def test_a_leak_is_noticed(tiny, monkeypatch):
    """Of 300 kB a request."""
    kept = []
    end = Job.end

    def leaking_end(*args):
        kept.append(os.urandom(300_000))
        end(*args)

    monkeypatch.setattr(Job, "end", leaking_end)
    assert tiny.run(tiny.engine(), range(160), cancel=False).growth > FLAT


def test_a_result_that_depends_on_its_neighbours_is_noticed(tiny, monkeypatch):
    """As if seeds belonged to slots."""
    right = TorchPasses.load

    def with_seeds_of_slots(self, slots, packed_BJ):
        right(self, slots, packed_BJ)
        self.state.seed_S[slots] = torch.tensor(slots)

    monkeypatch.setattr(TorchPasses, "load", with_seeds_of_slots)
    report = tiny.run(tiny.engine(), range(40), cancel=False)
    assert tiny.alone(report.digests) != report.digests


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_proc
def test_very_many_requests_on_the_demo_checkpoint():
    on_cuda = torch.cuda.is_available()
    count = int(os.environ.get("FEF_SOAK", "10000" if on_cuda else "300"))
    dtype = torch.bfloat16 if on_cuda else torch.float32
    network, _ = load_checkpoint(demo_path(), "cuda" if on_cuda else "cpu", dtype)
    demo = Soak(network, 128, exact=on_cuda, max_batch=32 if on_cuda else 8, windows=(8,))
    engine = demo.engine()
    report = demo.run(engine, range(count), cancel=True)
    kept = [number for number, digest in report.digests.items() if digest is not None]
    # all again beside other neighbours, and some of them alone
    other = demo.run(demo.engine(max_batch=24 if on_cuda else 5), reversed(kept), cancel=False, waves=1)
    some = kept[:: max(1, len(kept) // 400)]
    alone = demo.alone(some, max_batch=1)
    moved = sum(other.digests[number] != report.digests[number] for number in kept)
    lonely = sum(alone[number] != report.digests[number] for number in some)
    mega = {name: f"{a / 1e6:.1f} MB -> {b / 1e6:.1f} MB" for name, (a, b) in report.memory.items()}
    print(
        f"\n{count} requests ({network.device}, {dtype}): {len(kept)} done, {report.cancelled} cancelled, "
        f"{report.refused} too long; {report.tokens} tokens in {report.seconds:.1f} s = "
        f"{report.tokens / report.seconds:.0f} tokens/s; memory after the first tenth -> at the end: {mega}; "
        f"mismatches beside other neighbours: {moved} of {len(kept)} in {other.seconds:.1f} s; alone: {lonely} of {len(some)}"
    )
    assert nothing_is_left(engine)
    assert len(report.digests) + report.refused == count
    assert (moved, lonely) == (0, 0)
    assert report.growth < FLAT, report.memory
