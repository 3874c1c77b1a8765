"""`fef train`: train a network, go on with one, or fine-tune one on your own examples."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.info import LOG, last_losses
from fef.cli.interrupts import StopSoon
from fef.cli.lock import sole_writer
from fef.cli.options import check_device
from fef.cli.output import Bar, check_directory, print_json
from fef.errors import InputError, OptionError, nearest_hint

if TYPE_CHECKING:
    from fef.training.run import DataOptions

__all__ = ["EXAMPLE", "train"]

EXAMPLE = (
    "Example: [bold]fef train --out my-model --tasks word-problems:0.5,joint:0.5 --steps 200 --batch-size 16 "
    "--count 4096 --dim 64 --layers 2 --heads 2[/bold]\n\n"
    "Example: [bold]fef train --out tuned --init demo --data examples.jsonl --steps 500[/bold]"
)


class ScheduleName(StrEnum):
    linear = "linear"
    cosine = "cosine"


class FormName(StrEnum):
    cheap = "cheap"
    strict = "strict"


def train(
    out: Annotated[Path, typer.Option("--out", help="Directory of the model; a stopped run there goes on.")],
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Built-in families with their shares: word-problems:0.5,joint:0.5")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help='A JSONL file of {"prompt": ..., "response": ...}.')
    ] = None,
    init: Annotated[str | None, typer.Option("--init", help="Start from this model directory, or from demo.")] = None,
    steps: Annotated[int, typer.Option("--steps", help="Optimizer steps in all.")] = 1000,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Canvases per step.")] = 64,
    canvas_length: Annotated[int, typer.Option("--canvas-length", help="Tokens of an answer's canvas.")] = 128,
    schedule: Annotated[ScheduleName, typer.Option("--schedule", help="How masking grows with time.")] = (
        ScheduleName.linear
    ),
    form: Annotated[FormName, typer.Option("--form", help="Form of the position-conditioned objective.")] = (
        FormName.cheap
    ),
    count: Annotated[int, typer.Option("--count", min=1, help="Generated examples.")] = 200_000,
    max_prompt: Annotated[int, typer.Option("--max-prompt", min=1, help="Longest prompt kept, in tokens.")] = 112,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same batches.")] = 0,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda; by default a GPU if there is one.")
    ] = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the blocks first; pays off on a GPU.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Stop, saved, after this time.")] = float("inf"),
    save_every: Annotated[int, typer.Option("--save-every", help="Steps between checkpoints.")] = 1000,
    save_minutes: Annotated[
        float, typer.Option("--save-minutes", min=0, help="Save also when the last checkpoint is so old.")
    ] = 10.0,
    log_every: Annotated[int, typer.Option("--log-every", help="Steps between rows of the loss log.")] = 10,
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Steps of rising learning rate.")] = 100,
    muon_lr: Annotated[float, typer.Option("--muon-lr", min=0, help="Learning rate of the matrices.")] = 0.02,
    adam_lr: Annotated[float, typer.Option("--adam-lr", min=0, help="Learning rate of everything else.")] = 3e-3,
    causal_weight: Annotated[float, typer.Option("--causal-weight", min=0, help="Weight of a causal objective.")] = 0.0,
    dim: Annotated[int, typer.Option("--dim", min=2, help="New network: width.")] = 288,
    layers: Annotated[int, typer.Option("--layers", min=1, help="New network: layers.")] = 8,
    heads: Annotated[int, typer.Option("--heads", min=1, help="New network: attention heads.")] = 6,
    mlp_dim: Annotated[int, typer.Option("--mlp-dim", min=1, help="New network: inner width.")] = 768,
    vocab_size: Annotated[int, typer.Option("--vocab-size", min=260, help="New network: ids in all.")] = 1024,
    max_length: Annotated[
        int, typer.Option("--max-length", min=3, help="New network: prompt and answer, tokens.")
    ] = 256,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON line on standard output.")] = False,
) -> None:
    """Train a model into a directory: from nothing, from --init, or from where the directory's run stopped.

    Ctrl-C or SIGTERM saves first; the same command then goes on.
    """
    check_heads(dim, heads)
    check_out(out)
    options_of_data = data_options(tasks, data, count, max_prompt)
    with Bar("Loading"):
        from fef.training.run import NetworkOptions, run
        from fef.training.trainer import RESUME, TrainOptions
    options = TrainOptions(
        steps=steps,
        batch_size=batch_size,
        canvas_length=canvas_length,
        schedule=schedule.value,
        form=form.value,
        muon_lr=muon_lr,
        adam_lr=adam_lr,
        causal_weight=causal_weight,
        warmup=warmup,
        seed=seed,
        save_every=save_every,
        save_seconds=60 * save_minutes,
        log_every=log_every,
        compile=compile_,
        seconds=seconds,
    )
    size = NetworkOptions(vocab_size, dim, layers, heads, mlp_dim, max_length)
    place = check_device(device) if device is not None else default_device()
    source = init_path(init)
    resumed = (out / RESUME).is_dir()
    if resumed:
        typer.echo(f"{out} has a stopped run at step {reached(out)}; going on from there.", err=True)
    began = time.perf_counter()
    with sole_writer(out), StopSoon("Saving after this step; once more ends it at once.", say) as stop:
        try:
            with Bar("Preparing the examples", steps) as bar:
                network = run(
                    out, options_of_data, size, options, init=source, device=place, progress=shows(bar), stop=stop
                )
        except KeyboardInterrupt:
            say(interrupted_words(out, save_every, save_minutes))
            raise typer.Exit(128 + (stop.signal or signal.SIGINT)) from None
    if stop.signal is not None and (reached(out) or 0) < steps:
        say(interrupted_words(out, save_every, save_minutes))
        raise typer.Exit(128 + stop.signal)
    losses = last_losses(out / LOG) or {}
    parameters = sum(p.numel() for p in network.parameters())
    took = time.perf_counter() - began
    if json:
        summary = {"out": str(out), "step": reached(out), "parameters": parameters, "resumed": resumed}
        print_json(summary | {"losses": losses, "seconds": round(took, 3)})
    else:
        typer.echo(
            f"Wrote {out}: step {reached(out)} of {steps}, loss {losses.get('loss', float('nan')):.3f}, "
            f"{parameters:,} parameters, {took:.0f} s."
        )


def check_heads(dim: int, heads: int) -> None:
    if dim % (2 * heads):
        nearest = 2 * heads * max(1, round(dim / (2 * heads)))
        raise OptionError(f"--dim {dim} must be an even multiple of --heads {heads}, for example {nearest}.")


def check_out(out: Path) -> None:
    """Raise InputError where writing a model would fail or take the place of something else."""
    if out.is_dir():
        if not (out / "resume").is_dir() and any(out.iterdir()):
            what = "a finished model" if (out / "model.safetensors").is_file() else "other files"
            raise InputError(f"{out} holds {what}, which training would replace; give --out a new directory.")
    elif out.exists():
        raise InputError(f"{out} is a file; give --out a new directory.")
    nearest = next(parent for parent in out.absolute().parents if parent.exists())
    check_directory(nearest, out)


def data_options(tasks: str | None, data: Path | None, count: int, max_prompt: int) -> DataOptions:
    """Where examples come from. Raises OptionError for both, neither, or an unknown family."""
    if (tasks is None) == (data is None):
        raise OptionError("Give either --tasks word-problems:0.5,joint:0.5 or --data FILE.jsonl.")
    with Bar("Loading"):
        from fef.tasks import FAMILIES
        from fef.training.data import parse_shares
        from fef.training.run import DataOptions
    if tasks is None:
        return DataOptions(jsonl=data, max_prompt=max_prompt)
    shares = parse_shares(tasks)
    for family in shares:
        if family not in FAMILIES:
            raise OptionError(f"Unknown family {family!r}.{nearest_hint(family, FAMILIES)}")
    return DataOptions(tasks=shares, count=count, max_prompt=max_prompt)


def default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def init_path(name: str | None) -> Path | None:
    from fef.models.checkpoint import demo_path

    return demo_path() if name == "demo" else None if name is None else Path(name).expanduser()


def shows(bar: Bar) -> Callable[[int, dict[str, float]], None]:
    """The trainer's progress as a bar with its losses."""

    def show(step: int, row: dict[str, float]) -> None:
        names = [name for name in ("loss", "context", "target", "draft", "causal") if name in row]
        bar.update(step, "Training: " + ", ".join(f"{name} {row[name]:.3f}" for name in names))

    return show


def reached(out: Path) -> int | None:
    """The step of the run saved in `out`; none where its resume part cannot be read (loading it will say why)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(out / "resume" / "optimizer.safetensors", "np") as file:
            return int(file.metadata()["step"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def interrupted_words(out: Path, save_every: int, save_minutes: float) -> str:
    if (out / "resume").is_dir():
        return f"Interrupted. {out} holds the whole checkpoint of step {reached(out)}; the same command resumes it."
    return (
        f"Interrupted before the first checkpoint (they come every {save_every} steps or {save_minutes:g} minutes); nothing "
        "was written."
    )


def say(words: str) -> None:
    typer.echo(words, err=True)
