"""What a person with a small machine waits for: loading a checkpoint, its memory, and one answer at a time in the engine.

    python -m fef.bench.start --model smol

prints one JSON line. It is a process of its own, since the memory of a process never falls.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

import torch

import fef
from fef.measure.environment import HOST, environment, peak_bytes
from fef.measure.program import option, program, told
from fef.measure.timing import Stopwatch

__all__ = ["Options", "measure"]

QUESTIONS = (
    "Ben has 12 pencils and buys 3 boxes of 8. He gives 9 to Ada. How many pencils does Ben have now?",
    "Write a few sentences about the sea.",
    "A shirt costs $20 and is 25% off. How much do three of them cost?",
)
MEGABYTE = 10**6


def measure(given: Options) -> dict[str, Any]:
    """Load a checkpoint on the CPU and answer one question after the other. Raises FefError.

    load_seconds: of `fef.load`; load_megabytes, peak_megabytes: resident after it, and after the answers, at most;
    tokens_per_second, tokens_per_pass: of the median answer, the only one in the engine; law: of the certificate.
    *core* seconds are those that all threads worked: beside other work, the seconds of a clock tell of that work, too."""
    dtype = None if given.dtype is None else getattr(torch, given.dtype)
    watch = Stopwatch()
    loaded = fef.load(given.model, device="cpu", dtype=dtype, weights=given.weights)
    seconds, core_seconds = watch.seconds, watch.core_seconds
    resident = peak_bytes(HOST)
    windows = {} if given.window is None else {"windows": [given.window]}
    engine = loaded.engine(weights_in_order=given.weights_in_order, **windows)
    found, law = list[tuple[float, ...]](), ""
    for number, question in enumerate((QUESTIONS[0], *QUESTIONS)):  # the first once more: it also warms up
        asked = [{"role": "user", "content": question}] if loaded.template is not None else question
        watch = Stopwatch()
        job = engine.submit(asked, max_new_tokens=given.tokens, ignore_eos=True)
        engine.run()
        answer, law = job.result(), str(job.job.certificate.law)
        if number:
            found.append(tuple(given.tokens / of for of in (watch.seconds, watch.core_seconds, answer.stats["calls"])))
    per_second, per_core_second, per_pass = map(statistics.median, zip(*found, strict=True))
    return {
        "load_seconds": round(seconds, 2),
        "load_core_seconds": round(core_seconds, 2),
        "load_megabytes": round(resident / MEGABYTE),
        "peak_megabytes": round(peak_bytes(HOST) / MEGABYTE),
        "tokens_per_second": round(per_second, 1),
        "tokens_per_core_second": round(per_core_second, 1),
        "tokens_per_pass": round(per_pass, 2),
        "law": law,
    }


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    model: str = option("smol", "a directory, a repository, demo or smol")
    dtype: str | None = option(None, "of the weights; by default the checkpoint's", choices=["float32", "bfloat16"])
    weights: str | None = option(None, "round the dense matrices when loading", choices=["int8"])
    tokens: int = option(100, "of an answer")
    window: int | None = option(None, "drafts per round; by default the engine's choice")
    weights_in_order: bool = option(True, "as in the options of an engine")


@program(Options, __doc__)
def main(given: Options) -> None:
    told(**asdict(given) | environment("cpu") | measure(given))


if __name__ == "__main__":
    main()
