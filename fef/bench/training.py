"""What a training step costs: time, memory, and the share of the device's peak, for networks of random weights.

    python -m fef.bench.training --shape 8b --lora 16
    torchrun --nproc-per-node 2 -m fef.bench.training --shape 8b

Prints one JSON line. The step is the trainer's own: flat rows, losses, backward pass, optimizers; only the loading of weights
and the writing of checkpoints are left out. A shape that does not fit says so in "error".
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from fef.bench.engine.shapes import SHAPES, shape_config
from fef.bench.environment import environment
from fef.models.config import TransformerConfig
from fef.models.transformer import Transformer, allocate, blank
from fef.training.adapt import AdaptOptions, flat_objective
from fef.training.data import Examples
from fef.training.lora import OUT, TARGETS, adapt_
from fef.training.processes import Processes, joined
from fef.training.sharding import prepare_blocks, shard_
from fef.training.speed import peak_of
from fef.training.trainer import TrainOptions, check_pieces, make_optimizers, step_parts, take_step

__all__ = ["Measured", "main", "measure", "random_examples", "synchronize", "with_end"]

EXAMPLES = 256  # of random tokens, which are drawn from again and again
PROMPT = 256  # tokens of a prompt
STD = 0.02  # of random weights
WARM = 3  # steps before those that are measured: they compile, and allocate


@dataclass(frozen=True)
class Measured:
    """Of one step: seconds (median), tokens of all streams, trained canvases, tokens per second, the share of the devices'
    peak where it is known; and the most memory that a device held, GiB."""

    seconds: float
    tokens: float
    rows: float
    tokens_per_second: float
    utilization: float | None
    peak_gib: float | None
    loss: float


def measure(
    config: TransformerConfig, training: AdaptOptions, options: TrainOptions, processes: Processes, steps: int
) -> Measured:
    """The medians of `steps` steps of all processes. Raises OptionError for pieces that they cannot share, and torch's error
    where memory does not suffice."""
    check_pieces(options.pieces, processes.size)
    device = torch.device(processes.device)
    model = random_model(config, training, options, processes)
    objective = flat_objective(random_examples(config, options).to(device), config, training, options)
    optimizers = make_optimizers(model, options)
    model.train()
    seconds: list[float] = []
    rows: list[dict[str, float]] = []
    for step in range(WARM + steps):
        synchronize(device)
        began = time.perf_counter()
        said, _ = take_step(model, objective, optimizers, step, 1.0, options.pieces, processes)
        synchronize(device)
        seconds.append(time.perf_counter() - began)
        rows.append(step_parts(said, options.pieces, processes))
    median = statistics.median(seconds[WARM:])
    tokens, flops, canvases = (
        statistics.mean(row[name] for row in rows[WARM:]) for name in ("tokens", "flops", "rows")
    )
    peak = peak_of(device)
    return Measured(
        seconds=median,
        tokens=tokens,
        rows=canvases,
        tokens_per_second=tokens / median,
        utilization=None if peak is None else flops / median / (peak * processes.size),
        peak_gib=torch.cuda.max_memory_allocated(device) / (1 << 30) if device.type == "cuda" else None,
        loss=rows[-1]["loss"],
    )


def random_model(
    config: TransformerConfig, training: AdaptOptions, options: TrainOptions, processes: Processes
) -> Transformer:
    """A network that never exists in one piece where it is sharded."""
    on_gpu = processes.device != "cpu"
    model = blank(replace(config, packed=training.packed))
    model.to(torch.bfloat16 if training.lora_rank and on_gpu else torch.float32)
    if training.lora_rank:
        adapt_(model, training.lora_rank, training.lora_targets, options.seed)
    trains = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    prepare_blocks(model, options.compile, options.recompute)
    if processes.size > 1 and options.shard:
        shard_(model, processes)
        model.to_empty(device=processes.device)
    else:
        allocate(model, processes.device)
    generator = torch.Generator(processes.device).manual_seed(options.seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trains[name] or not training.lora_rank)
        fill(name, parameter, generator)
    return model


@torch.no_grad()
def fill(name: str, parameter: torch.nn.Parameter, generator: torch.Generator) -> None:
    here = parameter.to_local() if isinstance(parameter, DTensor) else parameter
    if parameter.ndim == 1:
        here.fill_(1.0)
    elif name.endswith(OUT):
        here.zero_()
    else:
        here.normal_(std=STD, generator=generator)


def with_end(config: TransformerConfig) -> TransformerConfig:
    """A config with a token that ends a text: the last one that is not the mask."""
    return replace(config, eos_id=config.vocab_size - (2 if config.mask_id == config.vocab_size - 1 else 1))


def random_examples(config: TransformerConfig, options: TrainOptions) -> Examples:
    """Answers that fill half of the canvas to all of it."""
    generator = torch.Generator().manual_seed(options.seed)
    usual = min(config.mask_id, config.vocab_size - 2)

    def ids(length: int) -> torch.Tensor:
        return torch.randint(usual, (EXAMPLES, length), generator=generator, dtype=torch.int32)

    longest = options.canvas_length - 1
    lengths = torch.randint(options.canvas_length // 2, longest + 1, (EXAMPLES,), generator=generator)
    return Examples(ids(PROMPT), torch.full((EXAMPLES,), PROMPT), ids(longest), lengths)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    given = arguments()
    config = with_end(shape_config(given.shape))
    training = AdaptOptions(
        packed=given.packed,
        lora_rank=given.lora,
        lora_targets=TARGETS,
        batch_tokens=given.batch_tokens,
        row_tokens=given.row_tokens,
    )
    options = TrainOptions(
        canvas_length=given.canvas_length,
        packed_count=given.slots,
        infill_share=0.0,
        optimizer="adamw",
        adam_lr=1e-5,
        factor_lr=1e-4,
        compile=given.compile,
        recompute=given.recompute,
        shard=given.shard,
        pieces=training.pieces,
    )
    facts: dict[str, Any] = vars(given) | environment(given.device)
    with joined(given.device) as processes:
        try:
            found = asdict(measure(config, training, options, processes, given.steps))
        except torch.OutOfMemoryError as error:
            found = {"error": str(error).partition("\n")[0]}
        if processes.leads:
            print(json.dumps(facts | {"processes": processes.size} | found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time and memory of training steps, as one JSON line.")
    gpu = torch.cuda.is_available()
    parser.add_argument("--shape", choices=sorted(SHAPES), default="8b")
    parser.add_argument("--lora", type=int, default=0, help="rank of low-rank factors; 0: all weights are trained")
    parser.add_argument("--steps", type=int, default=10, help="that are measured")
    parser.add_argument("--batch-tokens", type=int, default=65_536, help="of a step, over all processes")
    parser.add_argument("--row-tokens", type=int, default=8192, help="of a flat row; processes share rows")
    parser.add_argument("--canvas-length", type=int, default=1024)
    parser.add_argument("--slots", type=int, default=256, help="of the packed streams of a canvas")
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    for name, default in (("packed", True), ("compile", gpu), ("recompute", True), ("shard", True)):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
