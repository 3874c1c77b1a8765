"""What training changed, as a delta of a given size: exactly for low-rank training, by its best approximation else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fef.errors import CheckpointError, OptionError
from fef.models.causal import load_causal
from fef.models.chat import ChatTemplate
from fef.models.checkpoint import describe
from fef.models.config import TransformerConfig
from fef.models.delta import Delta, Factors, delta_bytes, low_rank
from fef.models.fingerprint import fingerprint
from fef.models.hub import locate
from fef.models.sources import ADAPTATION
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.training.adapt import AdaptOptions, flat_objective
from fef.training.conversations import Encoder, encode_answers, read_answers
from fef.training.held_out import read_best
from fef.training.lora import IN, OUT
from fef.training.resume import RESUME, saved_weights
from fef.training.trainer import TrainOptions

__all__ = ["difference", "held_out_loss", "trained_weights"]

SAME = 0.0  # the norm of a matrix that nothing changed
ROWS, ROW_TOKENS, CANVAS = 8, 2048, 192  # of a held-out loss


@torch.no_grad()
def difference(source: str, model: Path, max_bytes: int, device: str = "cpu") -> Delta:
    """The delta from the causal model `source` to what `adapt` trained of it into `model`, in at most `max_bytes`.

    The rank is the largest that fits, the same for every matrix. Raises CheckpointError for a directory without the
    float32 weights of its training or adapted from another base, OptionError for a budget that holds not even rank 1.
    """
    config = describe(model).config
    base_print, adaptation = fingerprint(locate(source)), adaptation_of(model)
    if adaptation.get("fingerprint", base_print) != base_print:
        raise CheckpointError(
            f"{model} was adapted from {adaptation.get('source')} with sha256 {str(adaptation['fingerprint'])[:12]}..., and "
            f"{source} has {base_print[:12]}...; give --base the model that it was adapted from."
        )
    trained = trained_weights(model)
    base, _ = load_causal(source, device, torch.float32)
    changes = dict(matrix_changes(base, trained, config))
    whole = {name: value for name, value in trained.items() if value.ndim == 1}
    row_ids = torch.tensor([] if config.attention == "causal" else [config.mask_id], dtype=torch.int64)
    shapes = [(len(out_OX), in_XI.shape[1]) for out_OX, in_XI in changes.values()]
    numbers = sum(value.numel() for value in whole.values()) + len(row_ids) * (config.dim + 2)
    rank = 0
    while rank < config.mlp_dim and delta_bytes(shapes, rank + 1, numbers) <= max_bytes:
        rank += 1
    if rank == 0:
        raise OptionError(
            f"A delta of {max_bytes:,} bytes holds no change; the least that does has {delta_bytes(shapes, 1, numbers):,}."
        )
    factors = {name: Factors.rounded(*low_rank(out_OX, in_XI, rank)) for name, (out_OX, in_XI) in changes.items()}
    facts = {
        "rank": max((len(pair.in_RI) for pair in factors.values()), default=0),
        "kept": round(kept_share(changes, factors), 5),
        "adaptation": adaptation,
    }
    rows = trained["embed.weight"][row_ids] if "embed.weight" in trained else base.embed.weight[row_ids].cpu()
    return Delta(base_print, config, factors, whole, row_ids, rows, facts)


def trained_weights(model: Path) -> dict[str, Tensor]:
    """The parameters that training changed, in float32: of the step whose weights the model has."""
    best = read_best(model / RESUME)
    return saved_weights(model) if best is None else best.weights


def matrix_changes(
    base: Transformer, trained: Mapping[str, Tensor], config: TransformerConfig
) -> list[tuple[str, tuple[Tensor, Tensor]]]:
    """Factors [O, X] and [X, I] of the change of each matrix that changed."""
    changes = []
    for name, parameter in base.named_parameters():
        if parameter.ndim != 2:
            continue
        stem = name.removesuffix(".weight")
        if f"{stem}.{OUT}" in trained:
            out_OX, in_XI = (trained[f"{stem}.{part}"].to(parameter) for part in (OUT, IN))
            changes.append((name, (out_OX, in_XI)))
        elif name in trained:
            change_OI = trained[name].to(parameter) - parameter
            if name == "embed.weight":
                change_OI[config.mask_id] = 0.0  # the mask's row is stored whole
            if change_OI.norm() > SAME:
                changes.append((name, (change_OI, torch.eye(change_OI.shape[1]).to(parameter))))
    return changes


def kept_share(changes: Mapping[str, tuple[Tensor, Tensor]], factors: Mapping[str, Factors]) -> float:
    """1 - the squared error of the factors over the squared change; 1 where nothing changed."""
    whole, lost = 0.0, 0.0
    for name, (out_OX, in_XI) in changes.items():
        change_OI = (out_OX @ in_XI).cpu()
        whole += float(change_OI.square().sum())
        lost += float((change_OI - factors[name].change(slice(None))).square().sum())
    return 1 - lost / whole if whole else 1.0


def adaptation_of(model: Path) -> dict[str, object]:
    path = model / ADAPTATION
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


@torch.no_grad()
def held_out_loss(network: Transformer, tokenizer: Tokenizer, template: ChatTemplate | None, data: Path) -> float:
    """Mean training loss of an adapted network over some flat rows of these examples; the same rows for every network of
    its kind."""
    config = network.config
    kind = config.attention
    adaptation = AdaptOptions(kind, config.block_length, config.packed, batch_tokens=ROW_TOKENS, drop_long=True)
    options = TrainOptions(canvas_length=CANVAS, packed_count=CANVAS, infill_share=0.0)
    encoder = Encoder(tokenizer, template, config)
    examples, _ = encode_answers(read_answers(data), encoder, data, adaptation.max_prompt, CANVAS, True)
    objective = flat_objective(examples.to(network.device), config, adaptation, options)
    losses = [objective(network, step)[0] for step in range(ROWS)]
    return float(torch.stack(losses).mean())
