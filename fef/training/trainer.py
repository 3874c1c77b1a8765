"""The training loop: Muon and AdamW, bf16 on a GPU, one or many processes, resumable checkpoints, a loss log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from fef.errors import OptionError
from fef.laws.noise import Schedule
from fef.models.checkpoint import write_checkpoint
from fef.models.quantize import refuse_quantized
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.training.data import Examples, batch
from fef.training.held_out import Best, HeldOut, best_in_place, read_best, restore, trained, write_best
from fef.training.limits import check_counts
from fef.training.lora import is_factor
from fef.training.objectives import causal_loss, packed_loss
from fef.training.patterns import Canvases, PackedSlots, mask_canvases, numbers_on, packed_slots
from fef.training.processes import ALONE, Processes, whole
from fef.training.resume import RESUME, load_state, save_state
from fef.training.sharding import mean_gradients, mesh_of, prepare_blocks, settle, shard_
from fef.training.speed import Speed
from fef.training.step_generator import step_generator
from fef.training.step_profile import WARM, StepProfile, part
from fef.training.streams import Form

__all__ = [
    "LOG",
    "Objective",
    "Progress",
    "TrainOptions",
    "check_pieces",
    "check_rows",
    "descend",
    "falling",
    "learning_rate_scale",
    "muon_and_adam",
    "padded_objective",
    "train",
]

R = TypeVar("R", Canvases, PackedSlots)
Progress = Callable[[int, dict[str, float]], None]
Objective = Callable[[Transformer, int], tuple[Tensor, dict[str, Any]]]
"""The loss of a piece of a batch, and the parts to be logged: "loss" and others. A piece is drawn from its number alone;
piece i of step s, of n pieces, has s n + i. "tokens" and "flops" are what the piece computed on, and with."""
FREE = (
    *("steps", "seconds", "save_every", "save_seconds", "log_every", "profile"),
    *("compile", "recompute", "pieces", "shard"),
)
"""Options that a run may go on with other values of: how far, when it saves and tells, how its steps are computed."""
SUMS = ("rows", "tokens", "flops")  # parts that add up over the pieces of a step; all others are means
LOG = "losses.jsonl"


@dataclass(frozen=True)
class TrainOptions:
    """Settings of a run. Shares and weights are fractions."""

    steps: int = 1000  # of the optimizer, in all
    batch_size: int = 64  # canvases per step
    canvas_length: int = 128  # tokens of an answer's canvas
    schedule: Literal["linear", "cosine"] = "linear"  # of the noise
    form: Form = "cheap"  # of the objective (see `diffusion_loss`)
    pattern_shares: tuple[float, float, float] = (0.35, 0.35, 0.3)  # of noisy, prefix and full rows (`mask_canvases`)
    full_share: float = 0.4  # of rows whose canvas has all its length
    infill_share: float = 0.1  # of rows with a suffix behind the canvas
    context_weight: float = 1.0  # of the masked-diffusion loss
    target_weight: float = 1.0  # of the loss of the packed law
    draft_weight: float = 0.5  # of the loss of drafts
    padding_weight: float = 0.1  # of end tokens behind the first one
    causal_weight: float = 0.0  # of an order-causal objective; 0: none
    packed_count: int = 104  # slots of a packed pass
    group_sizes: tuple[int, ...] = (8, 16, 32)  # of drafts, one drawn per row
    optimizer: Literal["muon", "adamw"] = "muon"  # of the matrices; everything else has AdamW
    muon_lr: float = 0.02  # learning rate of the matrices under Muon
    adam_lr: float = 3e-3  # learning rate of everything under AdamW
    factor_lr: float = 3e-3  # learning rate of the factors of low-rank layers, under AdamW
    weight_decay: float = 0.01  # of the matrices
    warmup: int = 100  # steps of rising learning rate
    decay_share: float = 0.7  # of the steps, in which it falls
    seed: int = 0  # draws batches and masks
    save_every: int = 1000  # steps between checkpoints
    save_seconds: float = 600.0  # save also when the last checkpoint is so old
    log_every: int = 50  # steps between rows of the loss log
    compile: bool = False  # compile the blocks first
    pieces: int = 1  # equal parts of a step's batch, one after another on a process, or side by side on several
    shard: bool = (
        True  # where several processes train, each keeps its shards of the parameters (FSDP2), not all of them
    )
    recompute: bool = False  # the inside of blocks in the backward pass, instead of keeping it
    profile: int = 0  # steps whose time is measured, and as many whose kernels are
    seconds: float = field(default=math.inf)  # stop, saved, after this time

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "canvas_length", "save_every", "log_every", "packed_count", "pieces")
        check_counts(self, counts)
        if self.profile < 0 or (self.profile and self.steps < WARM + 2 * self.profile):
            raise OptionError(
                f"profile needs {WARM} steps before it and twice as many as it measures; got {self.profile} of "
                f"{self.steps} steps."
            )
        if abs(sum(self.pattern_shares) - 1) > 1e-6 or min(self.pattern_shares) < 0:
            raise OptionError(f"patterns need three fractions that sum to 1; got {self.pattern_shares}.")


def train(
    model: Transformer,
    tokenizer: Tokenizer,
    objective: Objective,
    out: Path,
    options: TrainOptions,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    extra: Callable[[Path], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    processes: Processes = ALONE,
    write: Callable[[Path], None] | None = None,
    facts: Mapping[str, Any] | None = None,
    held_out: HeldOut | None = None,
) -> Transformer:
    """Train the parameters that require a gradient, in place, and write `out` (a model directory with a `resume` part and a
    loss log; `extra(directory)` may add files).

    A run that finds `out/resume` goes on from its step with the same batches as an uninterrupted run: every batch is a
    function of (seed, step). Saves every `options.save_every` steps, and `options.save_seconds` after it last did. Ends
    early, saved, after `options.seconds`, or where `stop`, asked before each step, says so. say: told where the time of
    `options.profile` steps went.

    processes: those that share the pieces of each batch; each calls this with the same arguments. write(directory): writes
    the model instead of `write_checkpoint`, called by all of them. facts: of the run, which must be those of the one that it
    goes on with, as must be all options but those in `FREE`. held_out: its losses join the log; with `keep_best`, what is
    written and returned has the weights of the lowest one. Returns the model. Raises OptionError for a quantized network and
    for pieces that the processes cannot share.
    """
    refuse_quantized(model, "trained")
    check_pieces(options.pieces, processes.size)
    prepare_blocks(model, options.compile, options.recompute)
    if processes.size > 1 and options.shard and not isinstance(model, FSDPModule):
        shard_(model, mesh_of(processes))
    device = model.device
    optimizers = make_optimizers(model, options)
    facts = {name: value for name, value in asdict(options).items() if name not in FREE} | dict(facts or {})
    step = 0
    norm: Tensor | None = None
    best: Best | None = None
    if processes.told((out / RESUME).is_dir()):
        step = load_state(out, trained(model), optimizers, facts, processes)
        best = read_best(out / RESUME)
    model.train()
    log: list[dict[str, float]] = read_log(out, step)
    speed, profile = Speed(device, processes.size), StepProfile(options.profile, device, say)
    began = saved = time.perf_counter()
    before = log[-1]["seconds"] if log else 0.0  # of the run that this one goes on with

    def save() -> None:
        if norm is not None and not math.isfinite(value := float(whole(norm))):
            raise OptionError(
                f"The gradient became {value} by step {step}; lower the learning rate. What was saved before stays as it was."
            )
        settle(model)
        with processes.replaced(out) as fresh:
            with processes.together(), best_in_place(model, best):
                if write is not None:
                    write(fresh)
                else:
                    write_checkpoint(fresh, model, tokenizer, gather=whole, writes=processes.leads)
            save_state(fresh, trained(model), optimizers, step, facts, processes)
            with processes.together():
                if processes.leads:
                    write_log(fresh, log)
                    if best is not None:
                        write_best(fresh / RESUME, best)
                    if extra is not None:
                        extra(fresh)

    while step < options.steps:
        over = time.perf_counter() - began >= options.seconds
        if processes.largest(over or bool(stop())):
            break
        scale = learning_rate_scale(step, options)
        with profile.step():
            parts, norm = take_step(model, objective, optimizers, step, scale, options.pieces, processes)
        step += 1
        looks = held_out is not None and held_out.due(step, options.steps)
        if looks or step % options.log_every == 0 or step == options.steps:
            row = step_parts(parts, options.pieces, processes)
            row |= {"step": step, "norm": float(whole(norm)), "lr": scale}
            row["seconds"] = before + time.perf_counter() - began
            row |= speed.since_last(step, row)
            if looks:
                assert held_out is not None
                with speed.untimed():
                    row |= (found := held_out.losses(model))
                if held_out.keep_best and found["held_out_loss"] < (math.inf if best is None else best.loss):
                    best = Best.of(model, step, found)
            log.append({k: round(v, 5) for k, v in row.items()})
            if not math.isfinite(row["loss"]):
                raise OptionError(f"The loss became {row['loss']} at step {step}; lower the learning rate.")
            if progress is not None:
                progress(step, row)
        due = step % options.save_every == 0 or time.perf_counter() - saved >= options.save_seconds
        if step < options.steps and processes.largest(due):
            with speed.untimed():
                save()
            saved = time.perf_counter()
    save()
    if best is not None:
        say(f"The best of the held-out losses, {best.loss:.4f} at step {best.step}, is the model.")
        restore(trained(model), best.weights)
    return model.eval().requires_grad_(False)


def check_pieces(pieces: int, processes: int) -> None:
    if pieces % processes:
        raise OptionError(
            f"{processes} processes cannot share a step of {pieces} equal pieces; start a number of processes that divides "
            "it, or change the size of batches or pieces."
        )


def check_rows(batch_size: int, processes: int) -> None:
    if batch_size % processes:
        raise OptionError(f"{processes} processes cannot share a batch-size of {batch_size} equally; give a multiple.")


def take_step(
    model: Transformer,
    objective: Objective,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    scale: float,
    pieces: int,
    processes: Processes,
) -> tuple[list[dict[str, Any]], Tensor]:
    """One step of the optimizers at this scale of their learning rates: what the objective says of the pieces of this
    process, and the norm of the whole gradient before it was clipped."""
    device = model.device.type
    mine = processes.share(pieces)
    said = []
    for piece in mine:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, parts = objective(model, step * pieces + piece)
        said.append(parts)
        with part("backward"):
            (loss / len(mine)).backward()  # type: ignore[no-untyped-call]
    return said, descend(model, optimizers, scale, processes)


def descend(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], scale: float, processes: Processes = ALONE
) -> Tensor:
    """One step of the optimizers down the mean gradient of the processes; its norm before it was clipped."""
    with part("optimizer"):
        mean_gradients(model, processes)
        norm = nn.utils.clip_grad_norm_(trained(model).values(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return norm


def step_parts(said: list[dict[str, Any]], pieces: int, processes: Processes) -> dict[str, float]:
    """What is logged of a step, of the pieces of all processes."""
    device = next((v.device for v in said[0].values() if isinstance(v, Tensor)), None)
    totals = torch.zeros(len(said[0]), dtype=torch.float64, device=device)
    for parts in said:
        totals += torch.stack([torch.as_tensor(v, dtype=torch.float64, device=device) for v in parts.values()])
    summed = dict(zip(said[0], processes.summed(totals).tolist(), strict=True))
    return {name: total if name in SUMS else total / pieces for name, total in summed.items()}


def padded_objective(examples: Examples, options: TrainOptions) -> Objective:
    """The packed objective, and a causal one beside it, on rows padded to the longest canvas. Pieces are every n-th row."""

    def objective(model: Transformer, number: int) -> tuple[Tensor, dict[str, Any]]:
        step, piece = divmod(number, options.pieces)
        canvases, masked_BL, slots = training_step_data(examples, model, options, step)
        rows = slice(piece, None, options.pieces)
        return step_losses(model, rows_of(canvases, rows), masked_BL[rows], rows_of(slots, rows), options)

    return objective


def rows_of(record: R, rows: slice) -> R:
    return replace(record, **{name: tensor[rows] for name, tensor in vars(record).items()})


def training_step_data(
    examples: Examples, model: Transformer, options: TrainOptions, step: int
) -> tuple[Canvases, Tensor, PackedSlots]:
    """The batch of a step, a function of (seed, step) only."""
    config = model.config
    assert config.eos_id is not None
    generator = step_generator(model.device, options.seed, step)
    canvases = batch(
        examples, config, options.batch_size, options.canvas_length, options.full_share, options.infill_share, generator
    )
    schedule = Schedule(options.schedule)
    masked_BL = mask_canvases(canvases, config.eos_id, schedule, options.pattern_shares, generator)
    sizes = numbers_on(model.device, options.group_sizes)
    slots = packed_slots(canvases, masked_BL, config.eos_id, options.packed_count, sizes, generator)
    return canvases, masked_BL, slots


def step_losses(
    model: Transformer, canvases: Canvases, masked_BL: Tensor, slots: PackedSlots, options: TrainOptions
) -> tuple[Tensor, dict[str, Any]]:
    losses = packed_loss(model, canvases, masked_BL, slots, loss_weights(options), options.form, options.padding_weight)
    loss, named = losses.total, losses.named
    if options.causal_weight:
        assert model.config.eos_id is not None
        causal = causal_loss(model, canvases, options.packed_count, model.config.eos_id)
        loss = loss + options.causal_weight * causal
        named = named | {"causal": causal.detach()}
    return loss, {"loss": loss.detach()} | named


def loss_weights(options: TrainOptions) -> dict[str, float]:
    return {"context": options.context_weight, "target": options.target_weight, "draft": options.draft_weight}


def make_optimizers(model: Transformer, options: TrainOptions) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the matrices inside blocks and AdamW for embeddings, head, norms and biases, or AdamW alone."""
    matrices = {name: p for name, p in trained(model).items() if name.startswith("blocks.") and p.ndim == 2}
    others = [p for name, p in trained(model).items() if name not in matrices]
    if options.optimizer == "muon":
        return muon_and_adam(list(matrices.values()), others, options)
    factors = [p for name, p in matrices.items() if is_factor(name)]
    whole = [p for name, p in matrices.items() if not is_factor(name)]
    groups = [
        {"params": factors, "lr": options.factor_lr, "weight_decay": 0.0},
        {"params": whole, "lr": options.adam_lr, "weight_decay": options.weight_decay},
        {"params": others, "lr": options.adam_lr, "weight_decay": 0.0},
    ]
    return rates_noted([torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.95), fused=True)])


def muon_and_adam(
    matrices: list[nn.Parameter], others: list[nn.Parameter], options: TrainOptions
) -> list[torch.optim.Optimizer]:
    muon = torch.optim.Muon(matrices, lr=options.muon_lr, weight_decay=options.weight_decay)
    adam = torch.optim.AdamW(others, lr=options.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    return rates_noted([muon, adam])


def rates_noted(optimizers: list[torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
    """The optimizers, whose groups remember the learning rate that they were given."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def learning_rate_scale(step: int, options: TrainOptions) -> float:
    """Linear warm-up, constant, then linear decay to zero over the last `decay_share` of the steps."""
    return min((step + 1) / max(1, options.warmup), falling(step, options))


def falling(step: float, options: TrainOptions) -> float:
    """`learning_rate_scale` without the warm-up."""
    return min(1.0, (options.steps - step) / max(1.0, options.decay_share * options.steps))


def write_log(directory: Path, log: list[dict[str, float]]) -> None:
    (directory / LOG).write_text("".join(json.dumps(row) + "\n" for row in log))


def read_log(out: Path, step: int) -> list[dict[str, float]]:
    path = out / LOG
    if step == 0 or not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["step"] <= step]
