"""What one training pass reads and predicts, for every objective: streams of tokens with their pattern, labels and weights.

The packed pattern's streams (`fef.models.packed`) also hold block-causal diffusion (a clean copy and a noisy copy of
each block, as in BD3-LM, 2503.09573, section 4) and plain causal training, so that all of them share one pass and one loss.

Shapes: B rows, L canvas length, N tokens of the pass, M slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fef.models.packed import REVEALED, PackedTokens, Stream, context_tokens, slot_tokens
from fef.training.patterns import Canvases, PackedSlots

__all__ = ["Form", "Streams", "block_streams", "causal_streams", "context_streams", "packed_streams", "per_row"]

Form = Literal["strict", "cheap"]


@dataclass
class Streams:
    """Input ids [B, N], the tokens' places in the pattern, what each should predict [B, N], and for each named loss the
    weights [B, N] of its positions, which sum to 1 per row (to less where little is trained)."""

    input_BN: Tensor
    tokens: PackedTokens
    label_BN: Tensor
    weights: dict[str, Tensor]


def packed_streams(
    canvases: Canvases,
    masked_BL: Tensor,
    slots: PackedSlots,
    mask_id: int,
    eos_id: int | None,
    form: Form = "cheap",
    padding_weight: float = 1.0,
) -> Streams:
    """Context, references, targets and drafts. Losses: "context" (masked diffusion), "target" (the packed law), "draft"."""
    context = context_streams(canvases, masked_BL, mask_id, eos_id, form, padding_weight, slots.rank_BL)
    index_BM = slots.index_BM
    clean_BM = canvases.ids_BL.gather(1, index_BM.clamp(min=0))
    mask_BM = torch.full_like(clean_BM, mask_id)
    tokens = PackedTokens.cat(
        [
            context.tokens,
            slot_tokens(Stream.REFERENCE, index_BM, slots.rank_BL),
            slot_tokens(Stream.TARGET, index_BM, slots.rank_BL),
            slot_tokens(Stream.DRAFT, index_BM, slots.rank_BL, slots.group_start_BM),
        ]
    )
    real_BM = per_row((index_BM >= 0).float())
    none_BM, none_BL = torch.zeros_like(real_BM), torch.zeros_like(context.weights["context"])
    return Streams(
        input_BN=torch.cat([context.input_BN, clean_BM, mask_BM, mask_BM], dim=1),
        tokens=tokens,
        label_BN=torch.cat([context.label_BN, clean_BM, clean_BM, clean_BM], dim=1),
        weights={
            "context": torch.cat([context.weights["context"], none_BM, none_BM, none_BM], dim=1),
            "target": torch.cat([none_BL, none_BM, real_BM, none_BM], dim=1),
            "draft": torch.cat([none_BL, none_BM, none_BM, real_BM], dim=1),
        },
    )


def context_streams(
    canvases: Canvases,
    masked_BL: Tensor,
    mask_id: int,
    eos_id: int | None,
    form: Form = "cheap",
    padding_weight: float = 1.0,
    rank_BL: Tensor | None = None,
    shift: bool = False,
) -> Streams:
    """The canvases with their masks, every token seen by every other: masked diffusion.

    "cheap": every masked position (it also trains the drafter); "strict": only the first, the target of FeF's
    position-conditioned objective (2605.14305). padding_weight: of the end tokens behind the first one, which are most of
    a short answer's canvas and teach little. shift: the state at a position predicts the next one. For masks
    drawn with probability t the row mean has the expectation of the
    1/t-weighted likelihood bound of LLaDA (2502.09992, eq. 3) up to a constant.
    """
    rank_BL = torch.full_like(canvases.ids_BL, REVEALED) if rank_BL is None else rank_BL
    trained_BL = masked_BL & (masked_BL.long().cumsum(1) == 1) if form == "strict" else masked_BL
    weight_BL = per_row(trained_BL * end_weight(canvases, eos_id, padding_weight))
    label_BL = canvases.ids_BL
    if shift:  # nothing predicts the first token, with which no answer begins
        label_BL = label_BL.roll(-1, dims=1)
        weight_BL = torch.nn.functional.pad(weight_BL[:, 1:], (0, 1))
    return Streams(
        canvases.ids_BL.masked_fill(masked_BL, mask_id),
        context_tokens(rank_BL, canvases.lengths_B),
        label_BL,
        {"context": weight_BL},
    )


def block_streams(
    canvases: Canvases,
    masked_BL: Tensor,
    mask_id: int,
    eos_id: int | None,
    block_length: int,
    form: Form = "cheap",
    padding_weight: float = 1.0,
) -> Streams:
    """Block-causal diffusion: each noisy block sees itself and the clean blocks before it. Loss: "context".

    Clean tokens are references and noisy ones a draft group, ranked by their block. "strict" trains the first masked
    position of each block.
    """
    index_BL = torch.arange(masked_BL.shape[1], device=masked_BL.device).expand_as(masked_BL)
    block_BL = index_BL // block_length
    real_BL = index_BL < canvases.lengths_B[:, None]
    blocks = -(-masked_BL.shape[1] // block_length)
    masks_BX = torch.zeros(len(masked_BL), blocks, dtype=torch.int64, device=masked_BL.device)
    masks_BX = masks_BX.scatter_add(1, block_BL, masked_BL.long())
    noisy_BL = (masks_BX.gather(1, block_BL) > 0) & real_BL
    trained_BL = masked_BL
    if form == "strict":
        before_BL = masked_BL.long().cumsum(1) - masked_BL.long()
        trained_BL = masked_BL & (before_BL == before_BL.gather(1, block_BL * block_length))
    weight_BL = per_row(trained_BL * end_weight(canvases, eos_id, padding_weight))
    return Streams(
        torch.cat([canvases.ids_BL, canvases.ids_BL.masked_fill(masked_BL, mask_id)], dim=1),
        PackedTokens.cat(
            [
                slot_tokens(Stream.REFERENCE, index_BL.masked_fill(~real_BL, -1), block_BL),
                slot_tokens(Stream.DRAFT, index_BL.masked_fill(~noisy_BL, -1), block_BL, block_BL),
            ]
        ),
        torch.cat([canvases.ids_BL, canvases.ids_BL], dim=1),
        {"context": torch.cat([torch.zeros_like(weight_BL), weight_BL], dim=1)},
    )


def causal_streams(canvases: Canvases, eos_id: int | None) -> Streams:
    """Plain causal training: every token sees itself and those before it, and predicts the next. Loss: "causal", over the
    responses up to their first end token."""
    ids_BL = canvases.ids_BL
    index_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL)
    stop_B = canvases.stop_B if eos_id is None else canvases.text_stop_B(eos_id)
    real_BL = index_BL < stop_B[:, None]
    predicts_BL = (index_BL >= canvases.start_B[:, None] - 1) & (index_BL < stop_B[:, None] - 1)
    return Streams(
        ids_BL,
        slot_tokens(Stream.REFERENCE, index_BL.masked_fill(~real_BL, -1), index_BL),
        ids_BL.roll(-1, dims=1),
        {"causal": per_row(predicts_BL.float())},
    )


def end_weight(canvases: Canvases, eos_id: int | None, padding_weight: float) -> Tensor:
    """1, but `padding_weight` behind the first end token, [B, L]."""
    if eos_id is None:
        return torch.ones_like(canvases.ids_BL, dtype=torch.float32)
    index_L = torch.arange(canvases.ids_BL.shape[1], device=canvases.ids_BL.device)
    return torch.where(index_L >= canvases.text_stop_B(eos_id)[:, None], padding_weight, 1.0)


def per_row(weight_BS: Tensor) -> Tensor:
    """Weights divided by their sum in each row, or by 1 where that is less."""
    return weight_BS / weight_BS.sum(1, keepdim=True).clamp(min=1)
