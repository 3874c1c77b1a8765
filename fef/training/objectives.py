"""Training losses: masked diffusion, its position-conditioned forms, the packed streams, and causal modes.

All are cross-entropies in nats per token, averaged over rows. Shapes: B rows, L canvas length, M slots, V vocabulary; N
tokens of a pass, T places of a flat one, K trained positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from fef.models.packed import REVEALED, PackedTokens, Stream, packed_visible, slot_tokens
from fef.models.transformer import Transformer, plain_visible
from fef.training.cross_entropy import chunk_of, weighted_cross_entropy
from fef.training.drafting import tokens_per_pass
from fef.training.flat import Flat
from fef.training.patterns import Canvases, PackedSlots
from fef.training.step_profile import part
from fef.training.streams import Form, Streams, context_streams, packed_streams, per_row

__all__ = ["Losses", "causal_loss", "diffusion_loss", "flat_losses", "packed_loss", "row_losses"]


@dataclass
class Losses:
    """The weighted sum to be trained, and each loss by its name, without gradient; nats per token.

    trained: how many positions the head ran at.
    """

    total: Tensor
    named: dict[str, Tensor]
    trained: int


def row_losses(
    model: Transformer, streams: Streams, visible: Tensor | None, coefficients: Mapping[str, float]
) -> Losses:
    """Losses of a pass over padded rows. coefficients: of each loss in the total."""
    hidden_BND, _ = model.trunk(streams.input_BN, streams.tokens.index_BN, visible)
    rows = len(streams.input_BN)
    weights = {name: weight_BN.flatten() / rows for name, weight_BN in streams.weights.items()}
    return losses_of(model, hidden_BND.flatten(0, 1), streams.label_BN.flatten(), weights, coefficients)


def flat_losses(
    model: Transformer,
    flat: Flat,
    visible: Tensor | BlockMask,
    coefficients: Mapping[str, float],
    drafting: bool = False,
) -> Losses:
    """The same losses of the rows that stand in one flat row. drafting: name "tokens_per_pass" beside them."""
    with part("trunk"):
        hidden_1TD, _ = model.trunk(flat.input_1T, flat.index_1T, visible)
    with part("losses"):
        losses = losses_of(model, hidden_1TD[0], flat.label_T, flat.weights, coefficients)
        if drafting:
            losses.named["tokens_per_pass"] = tokens_per_pass(hidden_1TD[0], model.head_weight, flat)
        return losses


def losses_of(
    model: Transformer,
    hidden_TD: Tensor,
    label_T: Tensor,
    weights: Mapping[str, Tensor],
    coefficients: Mapping[str, float],
) -> Losses:
    """The head runs at positions with a weight only; on a GPU their number is filled up, so that all chunks have one size."""
    weight_T = torch.stack([coefficients[name] * weight_T for name, weight_T in weights.items()]).sum(0)
    at_K = torch.stack(list(weights.values())).any(0).nonzero()[:, 0]
    trained = len(at_K)
    real_K = torch.ones_like(at_K)
    if hidden_TD.is_cuda:
        at_K, real_K = (F.pad(x_K, (0, -trained % chunk_of(trained))) for x_K in (at_K, real_K))
    hidden_KD = hidden_TD.index_select(0, at_K)
    if torch.is_autocast_enabled(hidden_KD.device.type):
        hidden_KD = hidden_KD.to(torch.get_autocast_dtype(hidden_KD.device.type))
    total, nll_K = weighted_cross_entropy(hidden_KD, model.head_weight, label_T[at_K], weight_T[at_K] * real_K)
    named = {name: (weight_T[at_K] * real_K * nll_K).sum() for name, weight_T in weights.items()}
    return Losses(total, named, trained)


def diffusion_loss(
    model: Transformer, canvases: Canvases, masked_BL: Tensor, form: Form = "cheap", padding_weight: float = 1.0
) -> Tensor:
    """Cross-entropy of the clean tokens at masked positions, mean per row. form, padding_weight: see `context_streams`."""
    config = model.config
    streams = context_streams(
        canvases, masked_BL, model.mask_id, config.eos_id, form, padding_weight, shift=config.shift
    )
    length = canvases.ids_BL.shape[1]
    visible = plain_visible(config, length, canvases.lengths_B, canvases.ids_BL.device)
    return row_losses(model, streams, visible, {"context": 1.0}).total


def packed_loss(
    model: Transformer,
    canvases: Canvases,
    masked_BL: Tensor,
    slots: PackedSlots,
    coefficients: Mapping[str, float],
    form: Form = "cheap",
    padding_weight: float = 1.0,
) -> Losses:
    """One packed pass over context, references, targets and drafts; the three losses of its streams."""
    streams = packed_streams(canvases, masked_BL, slots, model.mask_id, model.config.eos_id, form, padding_weight)
    return row_losses(model, streams, packed_visible(streams.tokens, streams.tokens), coefficients)


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
    weight_BM = per_row((index_BM >= 0).float())
    streams = Streams(
        torch.cat([ids_BL, torch.full_like(clean_BM, model.mask_id)], dim=1),
        tokens,
        torch.cat([ids_BL, clean_BM], dim=1),
        {"causal": torch.cat([torch.zeros_like(ids_BL, dtype=weight_BM.dtype), weight_BM], dim=1)},
    )
    return row_losses(model, streams, packed_visible(tokens, tokens), {"causal": 1.0}).total
