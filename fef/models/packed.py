"""The packed attention pattern: one pass scores every prefix state of a canvas, exactly, with caches that never change.

Streams. With `rank` the place of a slot in the decoding order and -1 for tokens that the denoising
pass sees revealed:

    context    the canvas X_t with its masks        sees the context
    reference  a clean token at a slot              sees context revealed or ranked later; references up to itself
    target     a mask at a slot                     sees the same context; references ranked before it; itself
    draft      a mask at a slot, one of a group     sees the same context; references before the group; the group up to itself

So the target at rank r depends on X_t and the clean tokens ranked before r only, at any depth, and the keys of a
committed reference can replace those of its context mask: no later token looks at that mask again.

Shapes: B rows, L canvas length, N new tokens, K keys, S slots, V vocabulary; Y, G, E as in `transformer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from fef.models.transformer import Transformer

__all__ = [
    "CONTEXT_RANK",
    "PADDING",
    "REVEALED",
    "PackedTokens",
    "Stream",
    "context_seen",
    "context_tokens",
    "group_seen",
    "node_seen",
    "packed_target_logits",
    "packed_visible",
    "reference_seen",
    "slot_tokens",
]

REVEALED = -1  # rank of a token that the pass sees
CONTEXT_RANK = -2  # of a context token that looks: below every rank, so that it sees the whole context
PADDING = -3  # of places behind the canvas: no token sees them


class Stream(IntEnum):
    CONTEXT = 0
    REFERENCE = 1
    TARGET = 2
    DRAFT = 3
    ABSENT = 4


@dataclass
class PackedTokens:
    """What the pattern needs to know of each token, [B, N] each.

    index: canvas position. rank: place in the order. limit: references ranked below it are seen (rank + 1 for a
    reference, rank for a target, the first rank of its group for a draft; unused for context).
    """

    index_BN: Tensor
    stream_BN: Tensor
    rank_BN: Tensor
    limit_BN: Tensor

    @staticmethod
    def cat(parts: list[PackedTokens]) -> PackedTokens:
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return PackedTokens(*(torch.cat(column, 1) for column in columns))


def slot_tokens(stream: Stream, index_BS: Tensor, rank_BL: Tensor, limit_BS: Tensor | None = None) -> PackedTokens:
    """Tokens of one stream at canvas positions `index_BS`; index -1 marks an absent token."""
    absent_BS = index_BS < 0
    index_BS = index_BS.clamp(min=0)
    rank_BS = rank_BL.gather(1, index_BS)
    if limit_BS is None:
        limit_BS = rank_BS + 1 if stream is Stream.REFERENCE else rank_BS
    stream_BS = torch.full_like(index_BS, stream).masked_fill(absent_BS, Stream.ABSENT)
    return PackedTokens(index_BS, stream_BS, rank_BS, limit_BS)


def context_tokens(rank_BL: Tensor, lengths_B: Tensor | None) -> PackedTokens:
    """The context stream of a canvas; positions from `lengths_B[b]` on are padding."""
    index_BL = torch.arange(rank_BL.shape[1], device=rank_BL.device).expand_as(rank_BL)
    stream_BL = torch.full_like(rank_BL, Stream.CONTEXT)
    if lengths_B is not None:
        stream_BL = stream_BL.masked_fill(index_BL >= lengths_B[:, None], Stream.ABSENT)
    return PackedTokens(index_BL, stream_BL, rank_BL, torch.zeros_like(rank_BL))


def packed_visible(query: PackedTokens, key: PackedTokens) -> Tensor:
    """The pattern of the module's table: bool [B, N, K], True where a query token sees a key token."""
    q_stream, q_rank, q_limit = query.stream_BN[:, :, None], query.rank_BN[:, :, None], query.limit_BN[:, :, None]
    k_stream, k_rank, k_limit = key.stream_BN[:, None, :], key.rank_BN[:, None, :], key.limit_BN[:, None, :]
    q_rank = q_rank.masked_fill(q_stream == Stream.CONTEXT, CONTEXT_RANK)
    context = (k_stream == Stream.CONTEXT) & context_seen(k_rank, q_rank)
    reference = (k_stream == Stream.REFERENCE) & (q_stream != Stream.CONTEXT) & reference_seen(k_rank, q_limit)
    own_target = (k_stream == Stream.TARGET) & (q_stream == Stream.TARGET) & (k_rank == q_rank)
    draft_group = (k_stream == Stream.DRAFT) & (q_stream == Stream.DRAFT) & group_seen(k_rank, k_limit, q_rank, q_limit)
    return context | reference | own_target | draft_group


def context_seen(key_rank: Tensor, rank: Tensor) -> Tensor:
    """Where a token of this rank sees a context key: revealed tokens, and masks ranked later."""
    return (key_rank == REVEALED) | (key_rank > rank)


def reference_seen(key_rank: Tensor, limit: Tensor) -> Tensor:
    """Where a token of this limit sees a reference."""
    return key_rank < limit


def node_seen(node: Tensor, seen: Tensor) -> Tensor:
    """Where a token sees a node off the stem of a tree (`fef.laws.tree`): a bit per node."""
    return (seen >> node) & 1 == 1


def group_seen(key_rank: Tensor, key_group: Tensor, rank: Tensor, group: Tensor) -> Tensor:
    """Where a token sees one of its group: up to itself. Tokens of a negative group have none."""
    return (key_group >= 0) & (key_group == group) & (key_rank <= rank)


def packed_target_logits(
    model: Transformer, ids_BL: Tensor, clean_BL: Tensor, rank_BL: Tensor, lengths_B: Tensor | None = None
) -> Tensor:
    """Target logits [B, L, V] at every canvas position in one uncached pass (meaningful at slots: rank >= 0).

    `ids_BL` is the canvas with its masks, `clean_BL` the same with every slot filled.
    """
    context = context_tokens(rank_BL, lengths_B)
    slots_BL = context.index_BN.masked_fill((rank_BL == REVEALED) | (context.stream_BN == Stream.ABSENT), -1)
    references = slot_tokens(Stream.REFERENCE, slots_BL, rank_BL)
    targets = slot_tokens(Stream.TARGET, slots_BL, rank_BL)
    tokens = PackedTokens.cat([context, references, targets])
    ids_BN = torch.cat([ids_BL, clean_BL, torch.full_like(ids_BL, model.mask_id)], dim=1)
    hidden_BND, _ = model.trunk(ids_BN, tokens.index_BN, packed_visible(tokens, tokens))
    return model.logits(hidden_BND[:, 2 * ids_BL.shape[1] :])
