"""Training losses: masked diffusion, its position-conditioned forms, the packed streams, and a causal mode.

All are cross-entropies in nats per token, averaged over rows. Shapes: B rows, L canvas length, M slots, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fef.models.packed import REVEALED, PackedTokens, Stream, context_tokens, packed_visible, slot_tokens
from fef.models.transformer import Transformer
from fef.training.patterns import Canvases, PackedSlots

__all__ = ["Form", "Losses", "causal_loss", "diffusion_loss", "packed_loss"]

Form = Literal["strict", "cheap"]


@dataclass
class Losses:
    """Context (masked diffusion), target (packed law) and draft losses; nats per token."""

    context: Tensor
    target: Tensor
    draft: Tensor


def diffusion_loss(
    model: Transformer, canvases: Canvases, masked_BL: Tensor, form: Form = "cheap", padding_weight: float = 1.0
) -> Tensor:
    """Cross-entropy of the clean tokens at masked positions, mean per row.

    padding_weight: weight of the end tokens behind the first one, which are most of a short answer's canvas and teach
    little.

    "cheap": every masked position (it also trains the drafter); "strict": only the first, the target of FeF's
    position-conditioned objective (2605.14305). For masks drawn with probability t the row mean has the expectation of
    the 1/t-weighted likelihood bound of LLaDA (2502.09992, eq. 3) up to a constant.
    """
    ids_BL = canvases.ids_BL.masked_fill(masked_BL, model.mask_id)
    logits_BLV = model(ids_BL, canvases.lengths_B)
    weight_BL = trained_positions(canvases, masked_BL, form, model.config.eos_id, padding_weight)
    return row_mean(cross_entropy(logits_BLV, canvases.ids_BL), weight_BL)


def packed_loss(
    model: Transformer,
    canvases: Canvases,
    masked_BL: Tensor,
    slots: PackedSlots,
    form: Form = "cheap",
    padding_weight: float = 1.0,
) -> Losses:
    """One packed pass over context, references, targets and drafts; the three losses of its streams."""
    ids_BL, index_BM = canvases.ids_BL, slots.index_BM
    context = context_tokens(slots.rank_BL, canvases.lengths_B)
    tokens = PackedTokens.cat(
        [
            context,
            slot_tokens(Stream.REFERENCE, index_BM, slots.rank_BL),
            slot_tokens(Stream.TARGET, index_BM, slots.rank_BL),
            slot_tokens(Stream.DRAFT, index_BM, slots.rank_BL, slots.group_start_BM),
        ]
    )
    clean_BM = ids_BL.gather(1, index_BM.clamp(min=0))
    mask_BM = torch.full_like(clean_BM, model.mask_id)
    input_BN = torch.cat([ids_BL.masked_fill(masked_BL, model.mask_id), clean_BM, mask_BM, mask_BM], dim=1)
    hidden_BND, _ = model.trunk(input_BN, tokens.index_BN, packed_visible(tokens, tokens))
    length, count = ids_BL.shape[1], index_BM.shape[1]
    loss_BL = cross_entropy(model.logits(hidden_BND[:, :length]), ids_BL)
    loss_BQ = cross_entropy(model.logits(hidden_BND[:, length + count :]), torch.cat([clean_BM, clean_BM], dim=1))
    real_BM = index_BM >= 0
    weight_BL = trained_positions(canvases, masked_BL, form, model.config.eos_id, padding_weight)
    return Losses(
        context=row_mean(loss_BL, weight_BL),
        target=row_mean(loss_BQ[:, :count], real_BM),
        draft=row_mean(loss_BQ[:, count:], real_BM),
    )


def causal_loss(model: Transformer, canvases: Canvases, count: int, eos_id: int) -> Tensor:
    """The same weights as an order-causal network: every token a reference, no context, targets over the text.

    Its law needs no canvas (an exact key-value cache from the first token on), as in S2D2's block-size-1 mode.
    """
    ids_BL = canvases.ids_BL
    index_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL)
    all_BL = index_BL.masked_fill(index_BL >= canvases.lengths_B[:, None], REVEALED)
    text_BL = canvases.region_BL() & (index_BL < canvases.text_stop_B(eos_id)[:, None])
    index_BM = torch.where(text_BL, index_BL, ids_BL.shape[1]).topk(count, dim=1, largest=False).values
    index_BM = torch.where(index_BM < ids_BL.shape[1], index_BM, -1)
    tokens = PackedTokens.cat(
        [slot_tokens(Stream.REFERENCE, all_BL, index_BL), slot_tokens(Stream.TARGET, index_BM, index_BL)]
    )
    clean_BM = ids_BL.gather(1, index_BM.clamp(min=0))
    input_BN = torch.cat([ids_BL, torch.full_like(clean_BM, model.mask_id)], dim=1)
    hidden_BND, _ = model.trunk(input_BN, tokens.index_BN, packed_visible(tokens, tokens))
    logits_BMV = model.logits(hidden_BND[:, ids_BL.shape[1] :])
    return row_mean(cross_entropy(logits_BMV, clean_BM), index_BM >= 0)


def trained_positions(
    canvases: Canvases, masked_BL: Tensor, form: Form, eos_id: int | None, padding_weight: float
) -> Tensor:
    """Weight of each position in the context loss, [B, L]."""
    if form == "strict":
        masked_BL = masked_BL & (masked_BL.long().cumsum(1) == 1)
    if eos_id is None:
        return masked_BL.float()
    index_L = torch.arange(masked_BL.shape[1], device=masked_BL.device)
    padding_BL = index_L >= canvases.text_stop_B(eos_id)[:, None]
    return masked_BL * torch.where(padding_BL, padding_weight, 1.0)


def cross_entropy(logits_BSV: Tensor, ids_BS: Tensor) -> Tensor:
    return F.cross_entropy(logits_BSV.flatten(0, 1).float(), ids_BS.flatten(), reduction="none").view(ids_BS.shape)


def row_mean(loss_BS: Tensor, weight_BS: Tensor) -> Tensor:
    weight_BS = weight_BS.to(loss_BS.dtype)
    return ((loss_BS * weight_BS).sum(1) / weight_BS.sum(1).clamp(min=1)).mean()
