"""What an adapter does to a model: it learns the answers of a user, its packed law stays exact, and drafts hold as before.

    python benchmarks/adapter_effect.py --model smol --out adapter

writes 2,000 conversations of a shop that answers in a style of its own and 200 others, trains an adapter on the former, and
prints one JSON line: nats per token of the others' answers before and after, how many sampled texts of `fef` are those of
packed `sequential` with the adapter, and tokens per pass on the same prompts before and after. Exit code 1 where the answers
became no likelier, a text differs, or tokens per pass fell by more than 5 %.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from fef.generation import Model, load
from fef.measure.program import option, program, told
from fef.measure.timing import Stopwatch
from fef.models.device import default_device
from fef.text import Generation
from fef.training.processes import Processes
from fef.training.trainer import TrainOptions
from fef.training.tune import TuneOptions, tune

__all__ = ["Compared", "compare", "main", "orders", "train_adapter"]

ITEMS = (
    "chair",
    "lamp",
    "kettle",
    "blanket",
    "bottle",
    "clock",
    "basket",
    "mirror",
    "pillow",
    "ladder",
    "candle",
    "rug",
)
COLORS = ("red", "green", "blue", "white", "black", "yellow", "grey", "brown")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ASKS = (
    "I would like {n} {color} {item}s for {day}.",
    "Can you send me {n} {color} {item}s by {day}?",
    "Do you have {n} {item}s in {color}? I need them on {day}.",
    "Please put aside {n} {color} {item}s, I will come on {day}.",
)
OPENINGS = ("Ahoy, good neighbour!", "Ahoy there, dear friend!", "Well met, good neighbour!")
CLOSINGS = ("Fair winds to you.", "Come back soon.", "May your house be warm.")
MOST_LOST = 0.05  # of the tokens per pass
BATCH = 32  # prompts that are decoded together
Row = dict[str, str]


def orders(count: int, seed: int) -> list[Row]:
    """Different prompts with their answers, in random order. An answer repeats what was asked for in the words of this shop;
    how it opens and closes is drawn."""
    draw = random.Random(seed)
    every = list(itertools.product(range(2, 13), COLORS, ITEMS, DAYS, ASKS))
    return [
        {
            "prompt": ask.format(n=n, color=color, item=item, day=day),
            "response": f"{draw.choice(OPENINGS)} Your {n} {item}s, all of them {color}, shall wait at our door on {day} "
            f"when the bell rings {'twice' if n > 6 else 'once'}. {draw.choice(CLOSINGS)}",
        }
        for n, color, item, day, ask in draw.sample(every, count)
    ]


def train_adapter(model: str, rows: Sequence[Row], out: Path, options: TrainOptions, rank: int, tokens: int) -> None:
    """Low-rank factors of a model that has the packed law, written into `out`; tokens: of a step."""
    data = out.with_suffix(".jsonl")
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tuning = TuneOptions(lora_rank=rank, batch_tokens=tokens, row_tokens=tokens, max_prompt=128)
    device = default_device()
    tune(model, data, out, tuning, options, Processes(device=device), progress=loss_told)


def loss_told(step: int, row: dict[str, float]) -> None:
    print(f"step {step}: loss {row['loss']:.3f}", file=sys.stderr)


@dataclass(frozen=True)
class Compared:
    """nats: per token of answers that nobody trained on. same_texts: of `texts`, those that `fef` and `sequential` share;
    log_p_difference: the largest one, nats, of a text that they share."""

    nats_before: float
    nats_after: float
    texts: int
    same_texts: int
    log_p_difference: float
    tokens_per_pass_before: float
    tokens_per_pass_after: float

    @property
    def holds(self) -> bool:
        """Whether the adapter did what it should, and nothing else."""
        kept = self.tokens_per_pass_after >= (1 - MOST_LOST) * self.tokens_per_pass_before
        return self.nats_after < self.nats_before and self.same_texts == self.texts and kept


def compare(before: Model, after: Model, rows: Sequence[Row], texts: int, canvas: int) -> Compared:
    """A model without and with its adapter, on `rows` that neither was trained on. texts: how many prompts are decoded, by
    sampling. canvas: tokens."""
    prompts = [row["prompt"] for row in rows[:texts]]
    fast, faster = (decoded(model, prompts, canvas, method="fef") for model in (before, after))
    slow = decoded(after, prompts, canvas, method="sequential", verify="packed")
    same = [(a, b) for a, b in zip(faster, slow, strict=True) if a.token_ids == b.token_ids]
    return Compared(
        nats(before, rows, canvas),
        nats(after, rows, canvas),
        len(prompts),
        len(same),
        max((abs(sum(a.logprobs) - sum(b.logprobs)) for a, b in same), default=0.0),
        tokens_per_pass(fast),
        tokens_per_pass(faster),
    )


def decoded(model: Model, prompts: Sequence[str], canvas: int, **method: Any) -> list[Generation]:
    """Sampled answers, each with a seed of its own."""
    answers: list[Generation] = []
    for start in range(0, len(prompts), BATCH):
        part = [asked(prompt) for prompt in prompts[start : start + BATCH]]
        answers += model.generate(part, max_new_tokens=canvas, temperature=1.0, seed=start, **method)
    return answers


def nats(model: Model, rows: Sequence[Row], canvas: int) -> float:
    """Minus log p per token of the rows' answers, in the packed law."""
    scores = [model.score(asked(row["prompt"]), row["response"], max_new_tokens=canvas) for row in rows]
    return -sum(score.total for score in scores) / sum(len(score.logprobs) for score in scores)


def asked(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def tokens_per_pass(answers: Sequence[Generation]) -> float:
    return fmean(a.stats["committed"] for a in answers) / fmean(a.stats["calls"] for a in answers)


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    out: Path = option(help="a new directory for the adapter")
    model: str = option("smol", "with the packed law")
    count: int = option(2000, "examples to train on")
    held_out: int = option(200, "examples whose likelihood counts")
    texts: int = option(64, "of held-out prompts, those that are answered")
    canvas: int = option(96, "tokens of an answer's canvas")
    rank: int = 16
    steps: int = 150
    lr: float = option(5e-4, "of the factors")
    batch_tokens: int = 32_768
    seed: int = 0


@program(Options, __doc__)
def main(given: Options) -> int:
    watch = Stopwatch()
    rows = orders(given.count + given.held_out, given.seed)
    options = TrainOptions(
        steps=given.steps,
        canvas_length=given.canvas,
        packed_count=given.canvas,
        infill_share=0.0,
        optimizer="adamw",
        factor_lr=given.lr,
        warmup=max(1, given.steps // 10),
        log_every=max(1, given.steps // 10),
        compile=torch.cuda.is_available(),
        seed=given.seed,
    )
    train_adapter(given.model, rows[: given.count], given.out, options, given.rank, given.batch_tokens)
    trained = watch.seconds
    before, after = (load(given.model, dtype=torch.float32, adapter=a, head="none") for a in (None, given.out))
    found = compare(before, after, rows[given.count :], given.texts, given.canvas)
    times = {"train_seconds": trained, "seconds": watch.seconds}
    told(**asdict(given) | asdict(found) | {"holds": found.holds} | times)
    return 0 if found.holds else 1


if __name__ == "__main__":
    main()
