"""What a person with a small machine waits for: loading a checkpoint, its memory, and one answer at a time in the engine.

    python -m fef.bench.start --model smol

prints one JSON line. It is a process of its own, since the memory of a process never falls.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

import fef
from fef.errors import FefError
from fef.measure.environment import GIB, environment, host_peak

__all__ = ["Started", "measure"]

QUESTIONS = (
    "Ben has 12 pencils and buys 3 boxes of 8. He gives 9 to Ada. How many pencils does Ben have now?",
    "Write a few sentences about the sea.",
    "A shirt costs $20 and is 25% off. How much do three of them cost?",
)
MEGABYTE = 10**6


@dataclass(frozen=True)
class Started:
    """load_seconds: of `fef.load`; load_megabytes, peak_megabytes: resident after it, and after the answers, at most;
    tokens_per_second, tokens_per_pass: of the median answer, the only one in the engine; law: of the certificate.
    *core* seconds are those that all threads worked: beside other work, the seconds of a clock tell of that work, too."""

    load_seconds: float
    load_core_seconds: float
    load_megabytes: int
    peak_megabytes: int
    tokens: int
    tokens_per_second: float
    tokens_per_core_second: float
    tokens_per_pass: float
    law: str


def measure(model: str, dtype: torch.dtype | None, weights: str | None, tokens: int, window: int | None) -> Started:
    """Load a checkpoint on the CPU and answer one question after the other with `tokens` tokens each. Raises FefError."""
    began, worked = time.perf_counter(), time.process_time()
    loaded = fef.load(model, device="cpu", dtype=dtype, weights=weights)
    seconds, core_seconds = time.perf_counter() - began, time.process_time() - worked
    resident = host_peak()
    engine = loaded.engine(**({} if window is None else {"windows": [window]}))
    rates, core_rates, passes, law = [], [], [], ""
    for number, question in enumerate((QUESTIONS[0], *QUESTIONS)):  # the first once more: it also warms up
        asked = [{"role": "user", "content": question}] if loaded.template is not None else question
        began, worked = time.perf_counter(), time.process_time()
        job = engine.submit(asked, max_new_tokens=tokens, ignore_eos=True)
        engine.run()
        answer, law = job.result(), str(job.job.certificate.law)
        if number:
            rates.append(tokens / (time.perf_counter() - began))
            core_rates.append(tokens / (time.process_time() - worked))
            passes.append(tokens / answer.stats["calls"])
    return Started(
        load_seconds=round(seconds, 2),
        load_core_seconds=round(core_seconds, 2),
        load_megabytes=round(resident * GIB / MEGABYTE),
        peak_megabytes=round(host_peak() * GIB / MEGABYTE),
        tokens=tokens,
        tokens_per_second=round(statistics.median(rates), 1),
        tokens_per_core_second=round(statistics.median(core_rates), 1),
        tokens_per_pass=round(statistics.median(passes), 2),
        law=law,
    )


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Loading, memory and one answer at a time, as one JSON line.")
    parser.add_argument("--model", default="smol", help="a directory, a repository, demo or smol")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="of the weights; by default the checkpoint's")
    parser.add_argument("--weights", choices=["int8"], help="round the dense matrices when loading")
    parser.add_argument("--tokens", type=int, default=100, help="of an answer")
    parser.add_argument("--window", type=int, help="drafts per round; by default the engine's choice")
    return parser.parse_args(given)


def main() -> None:
    given = arguments()
    dtype = None if given.dtype is None else getattr(torch, given.dtype)
    try:
        found = measure(given.model, dtype, given.weights, given.tokens, given.window)
    except FefError as error:
        raise SystemExit(f"fef: error: {error}") from error
    print(json.dumps(vars(given) | environment("cpu") | asdict(found)))


if __name__ == "__main__":
    main()
