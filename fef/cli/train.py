"""`fef train`: train a network, go on with one, fine-tune one on your own examples, or train a layer of a method on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.interrupts import StopSoon
from fef.cli.options import check_device
from fef.cli.output import Bar, print_json
from fef.cli.train_layer import train_layer
from fef.cli.train_policy import train_policy
from fef.cli.train_reads import check_alone, check_read, check_sizes
from fef.cli.training import (
    FormName,
    FormOption,
    LogEveryOption,
    LoraTargetsOption,
    OutOption,
    PatternsOption,
    ReportName,
    ReportToOption,
    SaveEveryOption,
    SaveMinutesOption,
    SecondsOption,
    SeedOption,
    TrainDeviceOption,
    TrainStepsOption,
    WarmupOption,
    carry_out,
    check_out,
    pattern_shares,
    report,
    reporter,
    say,
    shows,
    shows_and_reports,
)
from fef.errors import InputError, OptionError, nearest_hint
from fef.files import check_makeable
from fef.training.limits import canvas_for

if TYPE_CHECKING:
    from fef.models.config import TransformerConfig
    from fef.models.transformer import Transformer
    from fef.training.processes import Processes
    from fef.training.run import DataOptions
    from fef.training.trainer import Progress, TrainOptions

__all__ = ["EXAMPLE", "train"]

EXAMPLE = (
    "Example: [bold]fef train --out my-model --tasks word-problems:0.5,joint:0.5 --steps 200 --batch-size 16 "
    "--count 4096 --dim 64 --layers 2 --heads 2[/bold]\n\n"
    "Example: [bold]fef train --out tuned --init demo --data examples.jsonl --steps 500[/bold]\n\n"
    "Example: [bold]torchrun --nproc-per-node 2 -m fef train --init GSAI-ML/LLaDA-8B-Instruct --data chats.jsonl --lora 16 "
    "--out tuned[/bold]\n\n"
    "Example: [bold]fef train --objective draft-head --init demo --data own.jsonl --out head --steps 300[/bold]"
)


class ScheduleName(StrEnum):
    linear = "linear"
    cosine = "cosine"


class ObjectiveName(StrEnum):
    denoise = "denoise"
    dparallel = "dparallel"
    ssmd = "ssmd"
    adjust = "adjust"
    draft_head = "draft-head"
    policy = "policy"


def train(
    context: typer.Context,
    out: OutOption,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Built-in families with their shares: word-problems:0.5,joint:0.5")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help='JSONL of {"prompt": ..., "response": ...}; in fine-tuning also of {"messages": ...}, or a dataset of '
            "the Hugging Face hub with such rows; for a draft head, of `python -m fef.corpus.own`.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="Start from this model: a directory, demo, smol, or a Hugging Face repository."),
    ] = None,
    objective: Annotated[
        ObjectiveName,
        typer.Option(
            "--objective",
            help="denoise; dparallel: certainty on own answers; ssmd, adjust: a layer for that method on --init; draft-head: "
            "that of --init on its own texts; policy: which slots to commit, from right and wrong answers of --init.",
        ),
    ] = ObjectiveName.denoise,
    from_head: Annotated[bool, typer.Option("--from-head", help="draft-head: go on from that of --init.")] = False,
    steps: TrainStepsOption = 1000,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Canvases per step.")] = 64,
    canvas_length: Annotated[
        int | None,
        typer.Option(
            "--canvas-length",
            help="Tokens of an answer's canvas; 128, in fine-tuning 512, of a policy 64, or half of what the model reads.",
        ),
    ] = None,
    schedule: Annotated[ScheduleName, typer.Option("--schedule", help="How masking grows with time.")] = (
        ScheduleName.linear
    ),
    form: FormOption = FormName.cheap,
    patterns: PatternsOption = "0.35,0.35,0.3",
    count: Annotated[int, typer.Option("--count", min=1, help="Generated examples.")] = 200_000,
    max_prompt: Annotated[
        int | None, typer.Option("--max-prompt", min=1, help="Longest prompt, in tokens; 112, in fine-tuning 1024.")
    ] = None,
    seed: SeedOption = 0,
    device: TrainDeviceOption = None,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile the blocks; by default in fine-tuning on a GPU."),
    ] = None,
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
    lora: Annotated[
        int, typer.Option("--lora", min=0, help="Fine-tune low-rank factors of this rank, an adapter; 0: all weights.")
    ] = 0,
    lora_targets: LoraTargetsOption = "q,k,v,out,gate,up,down",
    lr: Annotated[float, typer.Option("--lr", min=0, help="Fine-tuning: learning rate of whole weights.")] = 2e-5,
    lora_lr: Annotated[float, typer.Option("--lora-lr", min=0, help="Learning rate of low-rank factors.")] = 3e-4,
    packed: Annotated[
        bool | None,
        typer.Option("--packed/--no-packed", help="Fine-tune the packed law, too; by default where --init has it."),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", help="Fine-tuning: tokens of a step, of all streams of its canvases.")
    ] = 65_536,
    row_tokens: Annotated[
        int, typer.Option("--row-tokens", help="Tokens of a row; a step's rows are shared out among processes.")
    ] = 8192,
    drop_long: Annotated[
        bool, typer.Option("--drop-long", help="Fine-tuning: leave out examples that are too long.")
    ] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute/--keep", help="Compute the inside of blocks anew in the backward pass.")
    ] = False,
    shard: Annotated[
        bool,
        typer.Option("--shard/--no-shard", help="Several processes: each keeps its shards of the weights, or all."),
    ] = True,
    mask_id: Annotated[
        int | None, typer.Option("--mask-id", help="For a released --init that does not say it.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Fine-tuning: examples whose losses are only looked at.")
    ] = None,
    eval_every: Annotated[int, typer.Option("--eval-every", help="Steps between looks at the held-out losses.")] = 100,
    report_to: ReportToOption = ReportName.none,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON line on standard output.")] = False,
) -> None:
    """Train a model into a directory: from nothing, from --init, or from where the directory's run stopped.

    Released checkpoints, and all that answers in a chat template, are fine-tuned; so is any model with --lora. torchrun
    shares the work among processes.

    Ctrl-C or SIGTERM saves first; the same command then goes on. A layer (ssmd, adjust) and a policy are written at the end
    alone, and a draft head that is stopped is written as it is.
    """
    if init is None:
        check_heads(dim, heads)
    certain = objective is ObjectiveName.dparallel
    start = None if init is None else config_of(init, mask_id)
    tuned = (certain or objective is ObjectiveName.denoise) and fine_tunes(start, lora)
    if lora and not tuned:
        raise OptionError(
            "--lora needs the model whose weights it leaves as they are: --init MODEL, with --objective denoise or dparallel."
        )
    check_read(context, objective.value, tuned, start is not None, bool(lora))
    check_alone(objective.value)
    if start is None and (out / "resume").is_dir():
        start = config_of(str(out), None)
        check_sizes(context, out, start)
    usual = 64 if objective is ObjectiveName.policy else 512 if tuned else 128
    canvas = canvas_for(canvas_length, max_length if start is None else start.max_length, usual)
    if objective is ObjectiveName.policy:
        train_policy(out, init, tasks, steps, batch_size, canvas, seed, check_device(device), json)
        return
    of_head = objective is ObjectiveName.draft_head
    if from_head and not of_head:
        raise OptionError("--from-head is for --objective draft-head: leave it out.")
    if not of_head:
        check_out(out)
    if tuned and (data is None or tasks is not None):
        raise OptionError(f"Fine-tuning {init} needs --data FILE.jsonl, and takes no --tasks.")
    options_of_data = None if tuned or of_head else data_options(tasks, data, count, max_prompt or 112)
    if objective in (ObjectiveName.ssmd, ObjectiveName.adjust):
        assert options_of_data is not None
        place = check_device(device)
        settings = {
            "steps": steps,
            "batch_size": batch_size,
            "canvas_length": canvas,
            "lr": adam_lr,
            "seed": seed,
        }
        train_layer(objective.value, out, init_path(init), options_of_data, settings, place, json)
        return
    with Bar("Loading"):
        from fef.training.run import NetworkOptions, run
        from fef.training.trainer import TrainOptions
        from fef.training.tune import TuneOptions, tune
    place = check_device(device)
    options = TrainOptions(
        steps=steps,
        batch_size=batch_size,
        canvas_length=canvas,
        schedule=schedule.value,
        form=form.value,
        pattern_shares=pattern_shares(patterns),
        muon_lr=muon_lr,
        adam_lr=adam_lr,
        causal_weight=causal_weight,
        warmup=warmup,
        seed=seed,
        save_every=save_every,
        save_seconds=60 * save_minutes,
        log_every=log_every,
        compile=tuned and place != "cpu" if compile_ is None else compile_,
        recompute=recompute,
        shard=shard,
        seconds=seconds,
    )
    if of_head:
        draft_head(out, tasks, data, init_path(init), options, from_head, place, json)
        return
    size = NetworkOptions(vocab_size, dim, layers, heads, mlp_dim, max_length)
    tuned_options = replace(
        options,
        packed_count=options.canvas_length,
        infill_share=0.0,
        optimizer="adamw",
        adam_lr=lr,
        factor_lr=lora_lr,
    )
    tuning = TuneOptions(
        packed=packed,
        certain=certain,
        lora_rank=lora,
        lora_targets=tuple(name.strip() for name in lora_targets.split(",")),
        batch_tokens=batch_tokens,
        row_tokens=row_tokens,
        max_prompt=max_prompt or 1024,
        drop_long=drop_long,
        mask_id=mask_id,
        held_out=held_out,
        eval_every=eval_every,
    )
    saves = f"every {save_every} steps or {save_minutes:g} minutes"

    def work(progress: Progress, stop: Callable[[], bool], processes: Processes) -> Transformer:
        if tuned:
            assert init is not None and data is not None
            return tune(init, data, out, tuning, tuned_options, processes, progress=progress, stop=stop, say=say)
        assert options_of_data is not None
        source = init_path(init)
        return run(
            out,
            options_of_data,
            size,
            options,
            processes,
            init=source,
            certain=certain,
            progress=progress,
            stop=stop,
            say=say,
        )

    reported = partial(shows_and_reports, shows, reporter(report_to, out))
    report(out, steps, carry_out(out, steps, saves, place, work, reported), json)


def config_of(init: str, mask_id: int | None) -> TransformerConfig:
    with Bar("Loading"):
        from fef.models.hub import locate
        from fef.models.sources import describe_source

        return describe_source(locate(init), mask_id).config


def fine_tunes(start: TransformerConfig | None, lora: int) -> bool:
    """Whether `--init` is trained in its own chat template: whatever has no mark between prompt and answer."""
    return start is not None and (bool(lora) or start.answer_id is None)


def draft_head(
    out: Path,
    tasks: str | None,
    data: Path | None,
    init: Path | None,
    options: TrainOptions,
    go_on: bool,
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
    check_makeable(path)
    began = time.perf_counter()
    with (
        StopSoon("Stopping after this step; once more ends it at once.", say) as stop,
        Bar("Preparing the texts", options.steps) as bar,
    ):
        shown = shows(bar)
        head, log = train_draft_head(out, data, init, options, go_on=go_on, device=device, progress=shown, stop=stop)
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
    """The directory of a model with its weights, which are downloaded where it is a repository."""
    from fef.models.hub import download_weights, locate

    if name is None:
        return None
    path = locate(name)
    download_weights(name, path)
    return path
