"""What a narrower block costs a draft head: heads of several widths for one network, trained on the same batches.

    python -m fef.corpus.own --model demo --tasks word-problems:1 --count 300 --temperatures 0,0.7 --out own.jsonl
    python benchmarks/head_width.py --model demo --data own.jsonl --widths 288,72

prints a JSON line per width: how many drafts of a chain are expected to hold with the head, and without, as the mean of the
last half of what is logged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from fef.errors import OptionError
from fef.generation import load
from fef.measure.program import option, program
from fef.models.device import default_device
from fef.models.draft_head import HeadSizes
from fef.training.draft_head import fit_draft_head
from fef.training.own_text import read_own_texts
from fef.training.trainer import TrainOptions

__all__ = ["main"]


@dataclass(frozen=True)
class Options:
    """As on the command line; lists have commas."""

    data: Path = option(help="texts that the model wrote (`python -m fef.corpus.own`)")
    widths: Sequence[int] = option(help="of the blocks, at most the network's")
    model: str = "demo"
    device: str = default_device()
    steps: int = 140
    batch_size: int = option(16, "texts per step")
    seed: int = 0


@program(Options, __doc__)
def main(given: Options) -> None:
    network = load(given.model, device=given.device, dtype=torch.float32, head="none").network
    config = network.config
    for width in given.widths:
        if not config.head_size <= width <= config.dim:
            raise OptionError(f"--widths {width}: give numbers from {config.head_size} to {config.dim}.")
    network.eval().requires_grad_(False)
    texts = [text for text in read_own_texts(given.data, config) if len(text.response) > 1]
    options = TrainOptions(steps=given.steps, batch_size=given.batch_size, warmup=20, log_every=10, seed=given.seed)
    for width in given.widths:
        sizes = HeadSizes.of(config, widest=width)
        head, log = fit_draft_head(network, texts, sizes, options)
        late = log[len(log) // 2 :]
        found = {name: round(fmean(row[name] for row in late), 3) for name in ("accepted", "marginals")}
        print(
            json.dumps({"width": width, "parameters": sum(p.numel() for p in head.parameters()), **found}), flush=True
        )


if __name__ == "__main__":
    main()
