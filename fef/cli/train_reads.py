"""What `fef train` and `fef adapt` read of their options in each kind of training: those that they would pass over are
refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fef.cli.options import typed_options
from fef.errors import OptionError

if TYPE_CHECKING:
    from fef.models.config import TransformerConfig

__all__ = ["check_alone", "check_read", "check_read_by_adapt", "check_sizes"]

TUNING = (
    "lora_targets",
    "lr",
    "lora_lr",
    "packed",
    "batch_tokens",
    "row_tokens",
    "drop_long",
    "mask_id",
    "held_out",
    "eval_every",
)
SIZES = ("dim", "layers", "heads", "mlp_dim", "vocab_size", "max_length")
MASKS = ("schedule", "form", "patterns")
LOOP = ("compile_", "save_every", "save_minutes", "recompute", "shard", "report_to", "causal_weight")
SCRATCH = ("count", "muon_lr", "adam_lr", "causal_weight")
LAYER = (*SIZES, *MASKS, *LOOP, "seconds", "log_every", "warmup", "muon_lr")
UNREAD = {
    "tuned": (*SIZES, *SCRATCH, "batch_size"),
    "tuned dparallel": (*SIZES, *MASKS, *SCRATCH, "batch_tokens", "row_tokens", "eval_every"),
    "dparallel": (*SIZES, *MASKS, "causal_weight"),
    "denoise": SIZES,
    "ssmd": LAYER,
    "adjust": LAYER,
    "draft-head": (*SIZES, *MASKS, *LOOP, "count", "max_prompt", "canvas_length"),
    "policy": (*LAYER, "data", "count", "max_prompt", "adam_lr", "from_head"),
}

FACTORS = ("lora_targets", "lora_lr")


def check_read(context: typer.Context, objective: str, tuned: bool, starts: bool, lora: bool) -> None:
    """Raise OptionError for typed options that this kind of training would pass over. tuned: in the loop of fine-tuning;
    starts: from a network that is there."""
    if tuned and not lora and (unread := typed_options(context, FACTORS)):
        raise OptionError(f"{', '.join(unread)} is nothing that fef train reads without --lora: leave it out.")
    if not tuned and (unread := typed_options(context, TUNING)):
        raise OptionError(
            f"{', '.join(unread)} is for fine-tuning, of a released or adapted --init or with --lora, and this is none: "
            "leave it out."
        )
    kind = objective
    if tuned:
        kind = "tuned" if objective == "denoise" else f"tuned {objective}"
    if (starts or objective != "denoise") and (unread := typed_options(context, UNREAD[kind])):
        what = (
            "fine-tuning, which has --batch-tokens, --lr and --lora-lr," if kind == "tuned" else f"this ({objective})"
        )
        raise OptionError(f"{', '.join(unread)} is nothing that {what} reads: leave it out.")


def check_read_by_adapt(context: typer.Context, causal: bool, packed: bool, lora: bool) -> None:
    """Raise OptionError for typed options that this kind of adaptation would pass over."""
    unread = {
        "without --lora": () if lora else FACTORS,
        "without the packed law": () if packed else ("target_weight", "draft_weight"),
        "with --causal": ("form", "patterns", "context_weight") if causal else (),
    }
    for when, names in unread.items():
        if typed := typed_options(context, names):
            raise OptionError(f"{', '.join(typed)} is nothing that fef adapt reads {when}: leave it out.")


def check_alone(objective: str) -> None:
    """Raise OptionError where torchrun started processes that would all do the same work and write the same file."""
    if objective in ("denoise", "dparallel"):
        return
    from fef.training.processes import started_together

    if started_together():
        raise OptionError(f"--objective {objective} trains in one process; start it without torchrun.")


def check_sizes(context: typer.Context, out: Path, there: TransformerConfig) -> None:
    """Raise OptionError where typed sizes are not those of the network whose stopped run goes on."""
    for name in SIZES:
        given, has = context.params[name], getattr(there, name)
        if name != "vocab_size" and given != has and (typed := typed_options(context, [name])):
            raise OptionError(
                f"{out} has a stopped run of a network of {typed[0]} {has}, and here it is {given}; repeat its command, or "
                "give --out another directory."
            )
