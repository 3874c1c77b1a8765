"""`fef adapt`: a causal language model becomes a masked diffusion model."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.options import JsonOption, check_device
from fef.cli.output import Bar
from fef.cli.train_reads import check_read_by_adapt
from fef.cli.training import (
    CanvasLengthOption,
    FormName,
    FormOption,
    LogEveryOption,
    LoraTargetsOption,
    MaxPromptOption,
    OutOption,
    PatternsOption,
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
    say,
    shows,
)
from fef.errors import OptionError

if TYPE_CHECKING:
    from fef.models.transformer import Transformer
    from fef.training.processes import Processes
    from fef.training.trainer import Progress

__all__ = ["EXAMPLE", "adapt"]

EXAMPLE = (
    "Example: [bold]fef adapt --from HuggingFaceTB/SmolLM2-135M-Instruct --data conversations.jsonl --out diffusion "
    "--lora 32 --steps 4000[/bold]"
)


class AttentionName(StrEnum):
    bidirectional = "bidirectional"
    block_causal = "block-causal"


def adapt(
    context: typer.Context,
    source: Annotated[
        str, typer.Option("--from", help="A causal model: a GGUF file, a directory or a Hugging Face repository.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help='A JSONL file of {"messages": ...} or {"prompt": ..., "response": ...}, or a dataset of the Hugging Face '
            "hub with such rows; each answer of the assistant is an example.",
        ),
    ],
    out: OutOption,
    attention: Annotated[
        AttentionName, typer.Option("--attention", help="What the diffusion model's tokens see of each other.")
    ] = AttentionName.bidirectional,
    block_length: Annotated[
        int | None, typer.Option("--block-length", min=1, help="Tokens of a block of block-causal attention.")
    ] = None,
    packed: Annotated[
        bool | None,
        typer.Option(
            "--packed/--no-packed",
            help="Train the packed pattern, whose law one pass verifies; by default where attention is bidirectional.",
        ),
    ] = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="A control: train the causal model itself on the same examples.")
    ] = False,
    lora: Annotated[
        int, typer.Option("--lora", min=0, help="Train low-rank factors of this rank; 0 trains all weights.")
    ] = 0,
    lora_targets: LoraTargetsOption = "q,k,v,out,gate,up,down",
    steps: TrainStepsOption = 2000,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", help="Tokens per step, of all streams of its canvases; a multiple of 128.")
    ] = 65_536,
    row_tokens: Annotated[
        int | None,
        typer.Option(
            "--row-tokens", help="Tokens of one of a step's rows, which processes share; by default all of them."
        ),
    ] = None,
    canvas_length: CanvasLengthOption = None,
    max_prompt: MaxPromptOption = 256,
    drop_long: Annotated[
        bool, typer.Option("--drop-long", help="Leave out examples that are too long instead of refusing them.")
    ] = False,
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Examples that are not trained on, as --data; their losses are logged."),
    ] = None,
    eval_every: Annotated[int, typer.Option("--eval-every", help="Steps between looks at the held-out losses.")] = 100,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="Write the weights of the lowest held-out loss, not the last ones.")
    ] = False,
    form: FormOption = FormName.cheap,
    lr: Annotated[float, typer.Option("--lr", min=0, help="Learning rate of whole weights.")] = 5e-4,
    lora_lr: Annotated[float, typer.Option("--lora-lr", min=0, help="Learning rate of low-rank factors.")] = 3e-3,
    context_weight: Annotated[
        float, typer.Option("--context-weight", min=0, help="Weight of the masked-diffusion loss.")
    ] = 1.0,
    target_weight: Annotated[
        float, typer.Option("--target-weight", min=0, help="Weight of the packed law's loss.")
    ] = 1.0,
    draft_weight: Annotated[float, typer.Option("--draft-weight", min=0, help="Weight of the drafts' loss.")] = 1.0,
    patterns: PatternsOption = "0.35,0.35,0.3",
    warmup: WarmupOption = 100,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the blocks; by default on a GPU.")
    ] = None,
    profile: Annotated[
        int,
        typer.Option(
            "--profile", min=0, help="Measure so many steps after the first 10: the time of their parts and kernels."
        ),
    ] = 0,
    seconds: SecondsOption = float("inf"),
    save_every: SaveEveryOption = 1_000_000,
    save_minutes: SaveMinutesOption = 10.0,
    log_every: LogEveryOption = 20,
    seed: SeedOption = 0,
    device: TrainDeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Turn a causal language model into a masked diffusion model, or go on with a stopped run.

    Ctrl-C or SIGTERM saves first; the same command then goes on.
    """
    check_out(out)
    if causal and (attention is not AttentionName.bidirectional or block_length is not None):
        raise OptionError("--causal keeps the causal attention; leave --attention and --block-length out.")
    if packed is None:
        packed = not causal and attention is AttentionName.bidirectional
    check_read_by_adapt(context, causal, packed, bool(lora))
    with Bar("Loading"):
        from fef.models.causal import describe_causal
        from fef.models.hub import locate
        from fef.training.adapt import AdaptOptions
        from fef.training.adapt import adapt as adapt_model
        from fef.training.limits import canvas_for
        from fef.training.trainer import TrainOptions

        canvas = canvas_for(canvas_length, describe_causal(locate(source)).config.max_length, 192)
    place = check_device(device)
    adaptation = AdaptOptions(
        kind="causal" if causal else attention.value,
        block_length=block_length,
        packed=packed,
        lora_rank=lora,
        lora_targets=tuple(name.strip() for name in lora_targets.split(",")),
        batch_tokens=batch_tokens,
        row_tokens=row_tokens,
        max_prompt=max_prompt,
        drop_long=drop_long,
        held_out=held_out,
        eval_every=eval_every,
        keep_best=keep_best,
    )
    options = TrainOptions(
        steps=steps,
        canvas_length=canvas,
        packed_count=canvas,
        form=form.value,
        infill_share=0.0,
        pattern_shares=pattern_shares(patterns),
        context_weight=context_weight,
        target_weight=target_weight,
        draft_weight=draft_weight,
        optimizer="adamw",
        adam_lr=lr,
        factor_lr=lora_lr,
        warmup=warmup,
        seed=seed,
        save_every=save_every,
        save_seconds=60 * save_minutes,
        log_every=log_every,
        compile=place != "cpu" if compile_ is None else compile_,
        profile=profile,
        seconds=seconds,
    )

    def work(progress: Progress, stop: Callable[[], bool], processes: Processes) -> Transformer:
        return adapt_model(source, data, out, adaptation, options, processes, progress=progress, stop=stop, say=say)

    report(out, steps, carry_out(out, steps, f"every {save_minutes:g} minutes", place, work, shows), json)
