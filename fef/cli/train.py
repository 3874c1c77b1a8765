"""`fef train`: train a network, go on with one, or fine-tune one on your own examples."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.interrupts import StopSoon
from fef.cli.options import check_device
from fef.cli.output import Bar, check_directory, print_json
from fef.cli.training import (
    CanvasLengthOption,
    FormName,
    FormOption,
    LogEveryOption,
    MaxPromptOption,
    OutOption,
    SaveEveryOption,
    SaveMinutesOption,
    SecondsOption,
    SeedOption,
    TrainDeviceOption,
    TrainStepsOption,
    WarmupOption,
    carry_out,
    check_out,
    default_device,
    report,
    say,
    shows,
)
from fef.errors import InputError, OptionError, nearest_hint

if TYPE_CHECKING:
    from fef.models.transformer import Transformer
    from fef.training.run import DataOptions
    from fef.training.trainer import Progress, TrainOptions

__all__ = ["EXAMPLE", "train"]

EXAMPLE = (
    "Example: [bold]fef train --out my-model --tasks word-problems:0.5,joint:0.5 --steps 200 --batch-size 16 "
    "--count 4096 --dim 64 --layers 2 --heads 2[/bold]\n\n"
    "Example: [bold]fef train --out tuned --init demo --data examples.jsonl --steps 500[/bold]\n\n"
    "Example: [bold]fef train --objective draft-head --init demo --data own.jsonl --out head --steps 300[/bold]"
)


class ObjectiveName(StrEnum):
    diffusion = "diffusion"
    draft_head = "draft-head"


class ScheduleName(StrEnum):
    linear = "linear"
    cosine = "cosine"


def train(
    out: OutOption,
    objective: Annotated[
        ObjectiveName,
        typer.Option("--objective", help="Train a network, or the draft head of --init on its own texts (--data)."),
    ] = ObjectiveName.diffusion,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Built-in families with their shares: word-problems:0.5,joint:0.5")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help='JSONL of {"prompt": ..., "response": ...}; for a draft head, of `python -m fef.corpus.own`.'
        ),
    ] = None,
    init: Annotated[str | None, typer.Option("--init", help="Start from this model directory, demo or smol.")] = None,
    steps: TrainStepsOption = 1000,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Canvases per step.")] = 64,
    canvas_length: CanvasLengthOption = 128,
    schedule: Annotated[ScheduleName, typer.Option("--schedule", help="How masking grows with time.")] = (
        ScheduleName.linear
    ),
    form: FormOption = FormName.cheap,
    count: Annotated[int, typer.Option("--count", min=1, help="Generated examples.")] = 200_000,
    max_prompt: MaxPromptOption = 112,
    seed: SeedOption = 0,
    device: TrainDeviceOption = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the blocks first; pays off on a GPU.")] = False,
    seconds: SecondsOption = float("inf"),
    save_every: SaveEveryOption = 1000,
    save_minutes: SaveMinutesOption = 10.0,
    log_every: LogEveryOption = 10,
    warmup: WarmupOption = 100,
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
    with Bar("Loading"):
        from fef.training.trainer import TrainOptions
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
    place = check_device(device) if device is not None else default_device()
    source = init_path(init)
    if objective is ObjectiveName.draft_head:
        draft_head(out, tasks, data, source, options, place, json)
        return
    check_out(out)
    options_of_data = data_options(tasks, data, count, max_prompt)
    with Bar("Loading"):
        from fef.training.run import NetworkOptions, run
    size = NetworkOptions(vocab_size, dim, layers, heads, mlp_dim, max_length)

    def work(progress: Progress, stop: Callable[[], bool]) -> Transformer:
        return run(out, options_of_data, size, options, init=source, device=place, progress=progress, stop=stop)

    report(
        out, steps, carry_out(out, steps, f"every {save_every} steps or {save_minutes:g} minutes", work, shows), json
    )


def draft_head(
    out: Path,
    tasks: str | None,
    data: Path | None,
    init: Path | None,
    options: TrainOptions,
    device: str,
    json: bool,
) -> None:
    """Train the draft head of a network into a directory. Ctrl-C ends training, and what was learned is written."""
    if tasks is not None or data is None or init is None:
        raise OptionError(
            "--objective draft-head needs --init MODEL and --data FILE with texts that this model drew (`python -m "
            "fef.corpus.own`), and takes no --tasks."
        )
    with Bar("Loading"):
        from fef.models.draft_head_file import DRAFT_HEAD
        from fef.training.draft_head import train_draft_head
    path = out / DRAFT_HEAD
    if path.exists():
        raise InputError(f"{path} is there already; give --out another directory, or remove it.")
    check_directory(next(parent for parent in path.absolute().parents if parent.exists()), out)
    began = time.perf_counter()
    with (
        StopSoon("Stopping after this step; once more ends it at once.", say) as stop,
        Bar("Preparing the texts", options.steps) as bar,
    ):
        head, log = train_draft_head(out, data, init, options, device=device, progress=shows(bar), stop=stop)
    last, seconds = log[-1] if log else {}, time.perf_counter() - began
    parameters = sum(p.numel() for p in head.parameters())
    if json:
        print_json({"out": str(path), "parameters": parameters, "losses": last, "seconds": round(seconds, 3)})
    else:
        typer.echo(
            f"Wrote {path}: {last.get('step', 0)} steps, {last.get('accepted', 0):.2f} drafts of a chain are expected to "
            f"hold ({last.get('marginals', 0):.2f} without the head), {parameters:,} parameters, {seconds:.0f} s."
        )
    if stop.signal is not None:
        raise typer.Exit(128 + stop.signal)


def check_heads(dim: int, heads: int) -> None:
    if dim % (2 * heads):
        nearest = 2 * heads * max(1, round(dim / (2 * heads)))
        raise OptionError(f"--dim {dim} must be an even multiple of --heads {heads}, for example {nearest}.")


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


def init_path(name: str | None) -> Path | None:
    from fef.models.hub import SHIPPED, locate

    if name is None:
        return None
    return locate(name) if name in SHIPPED else Path(name).expanduser()
