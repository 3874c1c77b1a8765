"""A causal language model becomes a masked diffusion model: the same weights, another attention, other losses.

The adapted network predicts the token at a masked position (no shift). A control keeps the causal model and trains it on the
same examples, left to right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fef.errors import OptionError
from fef.laws.noise import Schedule
from fef.models.causal import describe_causal, load_causal
from fef.models.chat import TEMPLATE, BrokenTemplate, ChatTemplate
from fef.models.config import TransformerConfig
from fef.models.fingerprint import fingerprint
from fef.models.hub import locate
from fef.models.packed import Stream
from fef.models.sources import ADAPTATION
from fef.models.tokenizer_files import SPECIALS
from fef.models.transformer import Transformer, pattern_block
from fef.training.conversations import Encoder, encode_answers, read_answers
from fef.training.data import Examples, batch
from fef.training.flat import BLOCK, flatten, revealed_last
from fef.training.held_out import HeldOut
from fef.training.limits import prompt_room
from fef.training.lora import TARGETS, adapt_, train_norms, train_rows
from fef.training.objectives import flat_losses
from fef.training.patterns import block_masks, mask_canvases, numbers_on, packed_slots
from fef.training.processes import ALONE, Processes
from fef.training.speed import step_flops
from fef.training.step_generator import step_generator
from fef.training.step_profile import part
from fef.training.streams import Streams, block_streams, causal_streams, context_streams, packed_streams
from fef.training.trainer import Objective, Progress, TrainOptions, loss_weights, train

__all__ = [
    "AdaptOptions",
    "adapt",
    "adapted_config",
    "both_encoded",
    "flat_objective",
    "measured",
    "run_facts",
    "write_template",
]

SAMPLE = 256  # canvases whose tokens are counted before training
SURPLUS = 1.25  # canvases drawn, of those that fill a step on average: what does not fit is left out


@dataclass(frozen=True)
class AdaptOptions:
    """What a causal model becomes, and how. Lengths in tokens.

    kind: "bidirectional" or "block-causal" attention for a diffusion model, or "causal": the control. packed: with the packed
    pattern's streams and so its law. lora_rank: train low-rank factors of `lora_targets`, norms and the mask's embedding; 0
    trains everything. batch_tokens: places of the flat rows of a step, for all streams of all its canvases; row_tokens: of
    one of them, by default there is one. Rows are what processes share. held_out: a file of
    examples whose losses are logged every `eval_every` steps; keep_best: the model is that of the lowest one.
    """

    kind: Literal["bidirectional", "block-causal", "causal"] = "bidirectional"
    block_length: int | None = None
    packed: bool = True
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = TARGETS
    batch_tokens: int = 65_536
    row_tokens: int | None = None
    max_prompt: int = 256
    drop_long: bool = False
    held_out: Path | None = None
    eval_every: int = 100
    keep_best: bool = False

    def __post_init__(self) -> None:
        if (self.kind == "block-causal") != (self.block_length is not None):
            raise OptionError("Block-causal attention needs --block-length, and no other attention has one.")
        if self.packed and self.kind != "bidirectional":
            raise OptionError(f"The packed law needs bidirectional attention, not {self.kind}; add --no-packed.")
        if self.batch_tokens < 1 or self.batch_tokens % BLOCK:
            raise OptionError(f"--batch-tokens must be a multiple of {BLOCK}; got {self.batch_tokens}.")
        if self.eval_every < 1:
            raise OptionError(f"--eval-every must be at least 1 step; got {self.eval_every}.")
        if self.keep_best and self.held_out is None:
            raise OptionError("--keep-best needs the loss of --held-out FILE to know which is best.")
        if self.lora_rank < 0:
            raise OptionError(f"--lora must be a rank of at least 1, or 0 for all weights; got {self.lora_rank}.")
        if self.capacity < 1 or self.capacity % BLOCK or self.batch_tokens % self.capacity:
            raise OptionError(
                f"--row-tokens must be a multiple of {BLOCK} that divides --batch-tokens {self.batch_tokens}; got "
                f"{self.row_tokens}."
            )

    @property
    def capacity(self) -> int:
        """Places of a flat row."""
        return self.batch_tokens if self.row_tokens is None else self.row_tokens

    @property
    def pieces(self) -> int:
        """Flat rows of a step."""
        return self.batch_tokens // self.capacity


def adapt(
    source: str,
    data: Path,
    out: Path,
    adaptation: AdaptOptions,
    options: TrainOptions,
    processes: Processes = ALONE,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> Transformer:
    """Train `source` (as in `load_causal`) on the examples in `data` into `out`, or go on from where `out` stopped.

    processes: those that share the flat rows of each step, with the whole network on each.
    say: told how many examples there are, and what `options.profile` found. Raises CheckpointError, InputError or OptionError
    before anything is written.
    """
    path = locate(source)
    # every process holds the whole network: it is small, and rows that alone are trained are no shard's
    options = replace(options, pieces=adaptation.pieces, shard=False)
    with processes.together():
        described = describe_causal(path)
        config = adapted_config(described.config, adaptation)
        encoder = Encoder(described.tokenizer, described.template, config)
        examples, apart = both_encoded(data, encoder, source, adaptation, options, say)
        model, tokenizer = load_causal(source, processes.device, torch.float32)
        model.config = config
        if adaptation.kind != "causal":
            start_mask(model)
        if adaptation.lora_rank:
            rows = [] if adaptation.kind == "causal" else [config.mask_id]
            adapt_(model, adaptation.lora_rank, adaptation.lora_targets, options.seed)
            train_norms(model)
            train_rows(model.embed.weight, rows)
        else:
            model.requires_grad_(True)
    processes.agree("examples", examples.digest())
    with processes.together():
        base = fingerprint(path)
    processes.agree("base weights", base)
    facts = {
        "source": source,
        "fingerprint": base,
        "examples": len(examples),
        "attention": config.attention,
        "lora_rank": adaptation.lora_rank,
        "seed": options.seed,
    }

    def extra(directory: Path) -> None:
        (directory / ADAPTATION).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        write_template(directory, described.template)

    objective = flat_objective(examples.to(model.device), config, adaptation, options)
    held_out = None if apart is None else measured(apart.to(model.device), config, adaptation, options)
    return train(
        model,
        tokenizer,
        objective,
        out,
        options,
        progress,
        stop,
        extra,
        say,
        processes,
        facts=run_facts(base, config, examples, apart, adaptation),
        held_out=held_out,
    )


def run_facts(
    base: str, config: TransformerConfig, examples: Examples, apart: Examples | None, adaptation: AdaptOptions
) -> dict[str, Any]:
    """What must be the same for a run to go on, beside the options of its steps. base: tells whose weights it began with."""
    return {
        "base": base,
        "examples": examples.digest(),
        "best_by": apart.digest() if apart is not None and adaptation.keep_best else None,
        "mask_id": config.mask_id,
        "attention": config.attention,
        "block_length": config.block_length,
        "packed": config.packed,
        "lora_rank": adaptation.lora_rank,
        "lora_targets": adaptation.lora_targets if adaptation.lora_rank else None,
        "batch_tokens": adaptation.batch_tokens,
        "row_tokens": adaptation.capacity,
    }


def both_encoded(
    data: Path,
    encoder: Encoder,
    source: str,
    adaptation: AdaptOptions,
    options: TrainOptions,
    say: Callable[[str], None],
) -> tuple[Examples, Examples | None]:
    """The examples to be trained on, and those held out if there are any, for a network of `encoder.config`. Raises
    OptionError or InputError where they cannot be had."""
    config = encoder.config
    if config.eos_id is None:
        raise OptionError(f"{source} has no token that ends a text, which training needs.")
    room = prompt_room(config.max_length, options.canvas_length, config.answer_id is not None)

    def read(file: Path, what: str) -> Examples:
        most = min(adaptation.max_prompt, room)
        found, dropped = encode_answers(
            read_answers(file), encoder, file, most, options.canvas_length, adaptation.drop_long
        )
        say(f"{len(found):,} {what}" + (f", {dropped:,} left out as too long" if dropped else "") + ".")
        return found

    examples = read(data, "examples")
    return examples, None if adaptation.held_out is None else read(adaptation.held_out, "held-out examples")


def adapted_config(config: TransformerConfig, adaptation: AdaptOptions) -> TransformerConfig:
    """The control reads as the causal model: its hidden state at a token predicts the next one."""
    return replace(
        config,
        attention=adaptation.kind,
        block_length=adaptation.block_length,
        packed=adaptation.packed,
        shift=adaptation.kind == "causal",
    )


@torch.no_grad()
def start_mask(model: Transformer) -> None:
    """The mask begins as the mean token: what an unused row holds is noise of pretraining."""
    model.embed.weight[model.mask_id] = model.embed.weight.mean(0)


def write_template(directory: Path, template: ChatTemplate | None) -> None:
    if template is None or isinstance(template, BrokenTemplate):
        return
    (directory / TEMPLATE).write_text(template.source, encoding="utf-8")
    (directory / SPECIALS).write_text(json.dumps(template.tokens, indent=1) + "\n", encoding="utf-8")


def flat_objective(
    examples: Examples,
    config: TransformerConfig,
    adaptation: AdaptOptions,
    options: TrainOptions,
    drafting: bool = False,
) -> Objective:
    """The losses of as many random canvases as fit a flat row: a piece of a step. drafting: and how many tokens a pass would
    commit. Raises OptionError where a canvas may not fit."""
    longest = longest_canvas(examples, config, adaptation, options)
    if longest > adaptation.capacity:
        enough = -(-longest // BLOCK) * BLOCK
        way_out = f"give --row-tokens {enough} or more, and a multiple of them as --batch-tokens"
        if adaptation.row_tokens is None:
            way_out = f"give --batch-tokens {enough} or more"
        raise OptionError(
            f"A canvas of these examples takes up to {longest} places with all its streams, and a row has "
            f"{adaptation.capacity}; {way_out}."
        )
    weights = loss_weights(options) | {"causal": 1.0}
    size = (
        math.ceil(SURPLUS * rows_fitting(examples, config, adaptation, options)) + 1
    )  # fewer are too few in rare cases
    block = pattern_block(config.head_size)

    def objective(model: Transformer, number: int) -> tuple[Tensor, dict[str, Any]]:
        with part("draw"):
            streams = step_streams(examples, config, adaptation, options, size, number)
        with part("flatten"):
            flat = flatten(revealed_last(streams), adaptation.capacity)
        with part("pattern"):
            compiled = options.compile and flat.input_1T.is_cuda
            visible = flat.intervals.block_mask(block, block) if compiled else flat.intervals.dense()
        losses = flat_losses(model, flat, visible, weights, drafting)
        flops = step_flops(model, flat.tokens, losses.trained, flat.intervals.pairs())
        work = {"rows": flat.rows, "tokens": flat.tokens, "flops": flops}
        return losses.total, {"loss": losses.total.detach()} | losses.named | work

    return objective


def longest_canvas(
    examples: Examples, config: TransformerConfig, adaptation: AdaptOptions, options: TrainOptions
) -> int:
    """The most places of a flat row that one canvas may take."""
    prompt = examples.prompt_NP.shape[1] + (config.answer_id is not None)
    if adaptation.block_length is not None:
        return 2 * (prompt + options.canvas_length)
    slots = min(options.packed_count, options.canvas_length) if adaptation.packed else 0
    return prompt + options.canvas_length + 3 * slots


def step_streams(
    examples: Examples,
    config: TransformerConfig,
    adaptation: AdaptOptions,
    options: TrainOptions,
    size: int,
    number: int,
) -> Streams:
    """The streams of a piece, a function of the seed and its number only."""
    device = examples.prompt_NP.device
    generator = step_generator(device, options.seed, number)
    canvases = batch(examples, config, size, options.canvas_length, options.full_share, options.infill_share, generator)
    mask_id, eos_id = config.mask_id, config.eos_id
    assert eos_id is not None
    if adaptation.kind == "causal":
        return causal_streams(canvases, eos_id)
    if adaptation.block_length is not None:
        masked_BL = block_masks(canvases, adaptation.block_length, options.pattern_shares, generator)
        return block_streams(
            canvases, masked_BL, mask_id, eos_id, adaptation.block_length, options.form, options.padding_weight
        )
    masked_BL = mask_canvases(canvases, eos_id, Schedule(options.schedule), options.pattern_shares, generator)
    if not adaptation.packed:
        return context_streams(
            canvases, masked_BL, mask_id, eos_id, options.form, options.padding_weight, shift=config.shift
        )
    sizes = numbers_on(device, options.group_sizes)
    slots = packed_slots(canvases, masked_BL, eos_id, options.packed_count, sizes, generator)
    return packed_streams(canvases, masked_BL, slots, mask_id, eos_id, options.form, options.padding_weight)


def rows_fitting(
    examples: Examples, config: TransformerConfig, adaptation: AdaptOptions, options: TrainOptions
) -> float:
    """How many canvases fill a flat row on average."""
    tokens = step_streams(examples, config, adaptation, options, SAMPLE, 0).tokens
    per_row = float((tokens.stream_BN != Stream.ABSENT).sum()) / SAMPLE
    return adaptation.capacity / per_row


def measured(examples: Examples, config: TransformerConfig, adaptation: AdaptOptions, options: TrainOptions) -> HeldOut:
    """The losses of held-out examples, and with the packed law the tokens per pass of their drafts: as many canvases as there
    are examples, the same ones whatever the run's seed."""
    fixed = replace(options, seed=0)
    passes = math.ceil(len(examples) / rows_fitting(examples, config, adaptation, fixed))
    objective = flat_objective(examples, config, adaptation, fixed, drafting=adaptation.packed)
    return HeldOut(objective, passes, adaptation.eval_every, adaptation.keep_best)
