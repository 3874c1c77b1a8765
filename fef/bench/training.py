"""What a training step costs: time, memory, and the share of the device's peak, for networks of random weights.

    python -m fef.bench.training --shape 8b --lora 16
    torchrun --nproc-per-node 2 -m fef.bench.training --shape 8b

Prints one JSON line. The step is the trainer's own: flat rows, losses, backward pass, optimizers; only the loading of weights
and the writing of checkpoints are left out. A shape that does not fit says so in "error".
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from fef.bench.engine.shapes import SHAPES, draw_weights_, shape_config
from fef.measure.environment import HOST, environment, peak_bytes
from fef.measure.program import option, program, told
from fef.measure.timing import Stopwatch, free_memory
from fef.models.config import TransformerConfig
from fef.models.device import default_device
from fef.models.transformer import Transformer, allocate, blank
from fef.training import step_profile
from fef.training.adapt import AdaptOptions, flat_objective
from fef.training.data import Examples
from fef.training.lora import TARGETS, adapt_, draw_factors_
from fef.training.processes import Processes, joined
from fef.training.sharding import held_rows, in_shards, mesh_of, prepare_blocks
from fef.training.speed import peak_of
from fef.training.step_profile import StepProfile
from fef.training.trainer import TrainOptions, check_pieces, make_optimizers, step_parts, take_step

__all__ = ["main", "measure", "random_examples", "with_end"]

EXAMPLES = 256  # of random tokens, which are drawn from again and again
PROMPT = 256  # tokens of a prompt
WARM = 3  # steps before those that are measured: they compile, and allocate
SCALE = 1.0  # of the learning rates
GIB = 1 << 30


def measure(
    config: TransformerConfig, training: AdaptOptions, options: TrainOptions, processes: Processes, steps: int
) -> dict[str, Any]:
    """The means of `steps` steps of all processes; of as many as `options.profile`, behind those, where their time went is
    said to standard error. Raises OptionError for pieces that they cannot share, and torch's error where memory does not
    suffice.

    Of one step: seconds (of steps that follow each other as in training, where no step waits for the device to be idle),
    tokens of all streams, rows (trained canvases), utilization (the share of the devices' peak, where it is known); the most
    memory that a device and that a host process held, GiB; the losses of all steps."""
    check_pieces(options.pieces, processes.size)
    device = torch.device(processes.device)
    model = random_model(config, training, options, processes)
    objective = flat_objective(random_examples(config, options).to(device), config, training, options)
    optimizers = make_optimizers(model, options)
    model.train()
    free_memory(device)
    said, watch = [], Stopwatch(device)
    for step in range(WARM + steps):
        if step == WARM:
            watch = Stopwatch(device)
        said.append(take_step(model, objective, optimizers, step, SCALE, options.pieces, processes)[0])
    seconds = watch.seconds / steps
    rows = [step_parts(parts, options.pieces, processes) for parts in said]
    profile = StepProfile(options.profile, device, lambda words: print(words, file=sys.stderr))
    for step in range(step_profile.WARM + 2 * options.profile if options.profile else 0):
        with profile.step():
            take_step(model, objective, optimizers, WARM + steps + step, SCALE, options.pieces, processes)
    mean = {name: statistics.mean(row[name] for row in rows[WARM:]) for name in ("tokens", "rows", "flops")}
    peak, flops = peak_of(device), mean.pop("flops")
    return mean | {
        "seconds": seconds,
        "tokens_per_second": mean["tokens"] / seconds,
        "utilization": None if peak is None else flops / seconds / (peak * processes.size),
        "device_gib": peak_bytes(device) / GIB,
        "host_gib": peak_bytes(HOST) / GIB,
        "losses": [round(row["loss"], 4) for row in rows],
    }


def random_model(
    config: TransformerConfig, training: AdaptOptions, options: TrainOptions, processes: Processes
) -> Transformer:
    """A network that never exists in one piece where it is sharded; its numbers do not depend on the processes."""
    on_gpu = processes.device != "cpu"
    model = blank(replace(config, packed=training.packed))
    model.to(torch.bfloat16 if training.lora_rank and on_gpu else torch.float32)

    def trainable(network: Transformer) -> Transformer:
        if training.lora_rank:
            adapt_(network, training.lora_rank, training.lora_targets, options.seed)
            return network
        return network.requires_grad_(True)

    if processes.size > 1 and options.shard:
        in_shards(trainable, mesh_of(processes)).allocate(model)
    else:
        trainable(allocate(model, processes.device))
    draw_weights_(model, options.seed)
    draw_factors_(model, options.seed, held_rows)
    prepare_blocks(model, options.compile, options.recompute)
    return model


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


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    shape: str = option("8b", choices=sorted(SHAPES))
    lora: int = option(0, "rank of low-rank factors; 0: all weights are trained")
    steps: int = option(10, "that are measured")
    batch_tokens: int = option(65_536, "of a step, over all processes")
    row_tokens: int = option(8192, "of a flat row; processes share rows")
    canvas_length: int = 1024
    slots: int = option(256, "of the packed streams of a canvas")
    profile: int = option(0, "further steps whose parts and kernels are timed")
    device: str = default_device()
    recompute: bool = True
    shard: bool = True


@program(Options, __doc__)
def main(given: Options) -> None:
    config = with_end(shape_config(given.shape))
    training = AdaptOptions(
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
        steps=step_profile.WARM + 2 * given.profile,
        compile=given.device != "cpu",
        recompute=given.recompute,
        shard=given.shard,
        pieces=training.pieces,
        profile=given.profile,
    )
    with joined(given.device) as processes:
        try:
            found = measure(config, training, options, processes, given.steps)
        except torch.OutOfMemoryError as error:
            found = {"error": str(error).partition("\n")[0]}
        if processes.leads:
            told(**asdict(given) | environment(given.device) | {"processes": processes.size} | found)


if __name__ == "__main__":
    main()
