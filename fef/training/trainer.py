"""The training loop: Muon and AdamW, bf16 on a GPU, resumable checkpoints, a loss log. One process."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fef.errors import CheckpointError, OptionError
from fef.laws.noise import Schedule
from fef.models.checkpoint import save_checkpoint
from fef.models.quantize import refuse_quantized
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.training.data import Examples, batch
from fef.training.held_out import Best, HeldOut, best_in_place, read_best, restore, trained, write_best
from fef.training.lora import is_factor
from fef.training.objectives import causal_loss, packed_loss
from fef.training.patterns import Canvases, PackedSlots, mask_canvases, numbers_on, packed_slots
from fef.training.speed import Speed
from fef.training.step_profile import WARM, StepProfile, part
from fef.training.streams import Form

__all__ = [
    "LOG",
    "Objective",
    "Progress",
    "TrainOptions",
    "descend",
    "learning_rate_scale",
    "muon_and_adam",
    "padded_objective",
    "train",
]

Progress = Callable[[int, dict[str, float]], None]
Objective = Callable[[Transformer, int], tuple[Tensor, dict[str, Any]]]
"""The loss of a step, which draws its batch from the step alone, and the parts to be logged: "loss" and others. "tokens" and
"flops" are what the step computed on, and with."""
RESUME = "resume"
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
    profile: int = 0  # steps whose time is measured, and as many whose kernels are
    seconds: float = field(default=math.inf)  # stop, saved, after this time

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "canvas_length", "save_every", "log_every", "packed_count"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name.replace('_', '-')} must be at least 1; got {getattr(self, name)}.")
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
    held_out: HeldOut | None = None,
) -> Transformer:
    """Train the parameters that require a gradient, in place, and write `out` (a model directory with a `resume` part and a
    loss log; `extra(directory)` may add files).

    A run that finds `out/resume` goes on from its step with the same batches as an uninterrupted run: every batch is a
    function of (seed, step). Saves every `options.save_every` steps, and `options.save_seconds` after it last did. Ends
    early, saved, after `options.seconds`, or where `stop`, asked before each step, says so. say: told where the time of
    `options.profile` steps went. held_out: its losses join the log; with `keep_best`, what is written and returned has the
    weights of the lowest one. Returns the model. Raises OptionError for a quantized network.
    """
    refuse_quantized(model, "trained")
    device = model.device
    optimizers = make_optimizers(model, options)
    step, best = load_resume(out, model, optimizers) if (out / RESUME).is_dir() else (0, None)
    model.train()
    if options.compile:
        for block in model.blocks:
            block.compile()
    log: list[dict[str, float]] = read_log(out, step)
    speed, profile = Speed(device), StepProfile(options.profile, device, say)
    began = saved = time.perf_counter()
    while step < options.steps and time.perf_counter() - began < options.seconds and not stop():
        scale = learning_rate_scale(step, options)
        with profile.step():
            parts, norm = take_step(model, objective, optimizers, step, scale)
        step += 1
        looks = held_out is not None and held_out.due(step, options.steps)
        if looks or step % options.log_every == 0 or step == options.steps:
            row = {name: float(value) for name, value in parts.items()}
            row |= {"step": step, "norm": float(norm), "lr": scale, "seconds": time.perf_counter() - began}
            row |= speed.since_last(step, row)
            if looks:
                assert held_out is not None
                row |= (found := held_out.losses(model))
                if held_out.keep_best and (best is None or found["held_out_loss"] < best.loss):
                    best = Best.of(model, step, found)
            log.append({k: round(v, 5) for k, v in row.items()})
            if not math.isfinite(row["loss"]):
                raise OptionError(f"The loss became {row['loss']} at step {step}; lower the learning rate.")
            if progress is not None:
                progress(step, row)
        due = step % options.save_every == 0 or time.perf_counter() - saved >= options.save_seconds
        if due and step < options.steps:
            save(out, model, tokenizer, optimizers, options, step, log, best, extra)
            saved = time.perf_counter()
    save(out, model, tokenizer, optimizers, options, step, log, best, extra)
    if best is not None:
        say(f"The best of the held-out losses, {best.loss:.4f} at step {best.step}, is the model.")
        restore(trained(model), best.weights)
    return model.eval().requires_grad_(False)


def take_step(
    model: Transformer, objective: Objective, optimizers: list[torch.optim.Optimizer], step: int, scale: float
) -> tuple[dict[str, Any], Tensor]:
    """One step of the optimizers at this scale of their learning rates: what the objective says of it, and the norm of the
    gradient before it was clipped."""
    device = model.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        loss, parts = objective(model, step)
    return parts, descend(loss, model, optimizers, scale)


def descend(loss: Tensor, model: nn.Module, optimizers: list[torch.optim.Optimizer], scale: float) -> Tensor:
    """One step of the optimizers down the gradient of a loss; the norm of the gradient before it was clipped."""
    with part("backward"):
        loss.backward()  # type: ignore[no-untyped-call]
    with part("optimizer"):
        norm = nn.utils.clip_grad_norm_(trained(model).values(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return norm


def padded_objective(examples: Examples, options: TrainOptions) -> Objective:
    """The packed objective, and a causal one beside it, on rows padded to the longest canvas."""

    def objective(model: Transformer, step: int) -> tuple[Tensor, dict[str, Any]]:
        return step_losses(model, *training_step_data(examples, model, options, step), options)

    return objective


def training_step_data(
    examples: Examples, model: Transformer, options: TrainOptions, step: int
) -> tuple[Canvases, Tensor, PackedSlots]:
    """The batch of a step, a function of (seed, step) only."""
    config = model.config
    assert config.eos_id is not None
    generator = torch.Generator(model.device).manual_seed(options.seed * 1_000_003 + step)
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
    left = (options.steps - step) / max(1.0, options.decay_share * options.steps)
    return min(1.0, (step + 1) / max(1, options.warmup), left)


def save(
    out: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    optimizers: list[torch.optim.Optimizer],
    options: TrainOptions,
    step: int,
    log: list[dict[str, float]],
    best: Best | None,
    extra: Callable[[Path], None] | None,
) -> None:
    """The model directory, of the best weights where there are some; its `resume` part holds the last ones."""
    weights = {k: v.detach().cpu().clone() for k, v in trained(model).items()}

    def write_extra(directory: Path) -> None:
        resume = directory / RESUME
        resume.mkdir()
        save_file(weights, resume / "weights.safetensors")
        save_file(optimizer_tensors(optimizers), resume / "optimizer.safetensors", metadata={"step": str(step)})
        if best is not None:
            write_best(resume, best)
        (resume / "options.json").write_text(json.dumps(asdict(replace(options, seconds=-1)), indent=1) + "\n")
        (directory / LOG).write_text("".join(json.dumps(row) + "\n" for row in log))
        if extra is not None:
            extra(directory)

    with best_in_place(model, best):
        save_checkpoint(out, model, tokenizer, extra=write_extra)


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    return {
        f"{which}.{number}.{key}": value.detach().cpu().contiguous()
        for which, optimizer in enumerate(optimizers)
        for number, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def load_resume(out: Path, model: Transformer, optimizers: list[torch.optim.Optimizer]) -> tuple[int, Best | None]:
    """Restore master weights and optimizer states; returns the step reached, and the best weights where they were kept."""
    try:
        with safe_open(out / RESUME / "weights.safetensors", "pt") as file:
            restore(trained(model), {k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118
        states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
        with safe_open(out / RESUME / "optimizer.safetensors", "pt") as file:
            step = int(file.metadata()["step"])
            for name in file.keys():  # noqa: SIM118
                which, number, key = name.split(".", 2)
                states[int(which)].setdefault(int(number), {})[key] = file.get_tensor(name)
        best = read_best(out / RESUME)
    except Exception as error:
        raise CheckpointError(
            f"Cannot resume from {out / RESUME} ({error}). Delete that folder to start again from the saved weights."
        ) from error
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step, best


def read_log(out: Path, step: int) -> list[dict[str, float]]:
    path = out / LOG
    if step == 0 or not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["step"] <= step]
