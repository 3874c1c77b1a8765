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

from fef.models.transformer import KeyValues, Transformer

__all__ = ["REVEALED", "PackedSession", "PackedTokens", "Stream", "packed_target_logits", "packed_visible"]

REVEALED = -1


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
        return PackedTokens(
            torch.cat([p.index_BN for p in parts], 1),
            torch.cat([p.stream_BN for p in parts], 1),
            torch.cat([p.rank_BN for p in parts], 1),
            torch.cat([p.limit_BN for p in parts], 1),
        )

    def select(self, rows: Tensor) -> PackedTokens:
        return PackedTokens(self.index_BN[rows], self.stream_BN[rows], self.rank_BN[rows], self.limit_BN[rows])


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
    context = (k_stream == Stream.CONTEXT) & ((q_stream == Stream.CONTEXT) | (k_rank == REVEALED) | (k_rank > q_rank))
    reference = (k_stream == Stream.REFERENCE) & (q_stream != Stream.CONTEXT) & (k_rank < q_limit)
    own_target = (k_stream == Stream.TARGET) & (q_stream == Stream.TARGET) & (k_rank == q_rank)
    draft_group = (k_stream == Stream.DRAFT) & (q_stream == Stream.DRAFT) & (k_limit == q_limit) & (k_rank <= q_rank)
    return context | reference | own_target | draft_group


class PackedSession:
    """Caches of one denoising pass over a batch of canvases.

    The context is computed at construction, with a first draft group at `draft_index_BD` in the same pass
    (`first_logits_BDV`); `extend` runs one small pass of new tokens; `absorb` makes references of the last pass
    permanent. `rank_BL` holds the decoding order at slots and REVEALED elsewhere.
    """

    def __init__(
        self,
        model: Transformer,
        ids_BL: Tensor,
        rank_BL: Tensor,
        draft_index_BD: Tensor,
        lengths_B: Tensor | None = None,
    ) -> None:
        self.model = model
        self.rank_BL = rank_BL
        self.cached = context_tokens(rank_BL, lengths_B)
        drafts = slot_tokens(Stream.DRAFT, draft_index_BD, rank_BL, torch.zeros_like(draft_index_BD))
        tokens = PackedTokens.cat([self.cached, drafts])
        ids_BN = torch.cat([ids_BL, torch.full_like(draft_index_BD, model.mask_id)], dim=1)
        hidden_BND, new = model.trunk(ids_BN, tokens.index_BN, packed_visible(tokens, tokens))
        length = ids_BL.shape[1]
        self.past = stack([(k[:, :, :length], v[:, :, :length]) for k, v in new])
        self.first_logits_BDV = model.logits(hidden_BND[:, length:])
        self.new_references: tuple[KeyValues, PackedTokens] | None = None

    def extend(
        self,
        reference_index_BR: Tensor,
        reference_ids_BR: Tensor,
        target_index_BT: Tensor,
        draft_index_BD: Tensor,
        draft_limit_BD: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One pass of references, targets and draft groups: logits [B, T, V] and [B, D, V]. Index -1: absent.

        draft_limit_BD: the first rank of each draft's group; groups have different ones.
        """
        tokens = PackedTokens.cat(
            [
                slot_tokens(Stream.REFERENCE, reference_index_BR, self.rank_BL),
                slot_tokens(Stream.TARGET, target_index_BT, self.rank_BL),
                slot_tokens(Stream.DRAFT, draft_index_BD, self.rank_BL, draft_limit_BD),
            ]
        )
        references, targets = reference_index_BR.shape[1], target_index_BT.shape[1]
        ids_BN = torch.full_like(tokens.index_BN, self.model.mask_id)
        ids_BN[:, :references] = reference_ids_BR
        visible = packed_visible(tokens, PackedTokens.cat([self.cached, tokens]))
        hidden_BND, new = self.model.trunk(ids_BN, tokens.index_BN, visible, self.past)
        self.new_references = (
            stack([(k[:, :, :references], v[:, :, :references]) for k, v in new]),
            slot_tokens(Stream.REFERENCE, reference_index_BR, self.rank_BL),
        )
        logits_BQV = self.model.logits(hidden_BND[:, references:])
        return logits_BQV[:, :targets], logits_BQV[:, targets:]

    def absorb(self, count_B: Tensor) -> None:
        """Keep the first `count_B[b]` references of the last pass: they take the cache place of their context mask."""
        assert self.new_references is not None, "absorb follows extend"
        new, tokens = self.new_references
        width = tokens.index_BN.shape[1]
        keep_BR = (torch.arange(width, device=count_B.device) < count_B[:, None]) & (tokens.stream_BN != Stream.ABSENT)
        row_K, column_K = keep_BR.nonzero(as_tuple=True)
        place_K = tokens.index_BN[row_K, column_K]
        self.past.keys_YBGPE[:, row_K, :, place_K] = new.keys_YBGPE[:, row_K, :, column_K]
        self.past.values_YBGPE[:, row_K, :, place_K] = new.values_YBGPE[:, row_K, :, column_K]
        self.cached.stream_BN[row_K, place_K] = Stream.REFERENCE
        self.new_references = None

    def spread(self, rows: Tensor, count: int) -> None:
        """Make a batch of `count` rows of it, with these at `rows` and nothing at the others."""

        def spread(tensor_B: Tensor, value: int) -> Tensor:
            return tensor_B.new_full((count, *tensor_B.shape[1:]), value).index_copy_(0, rows, tensor_B)

        cached, length = self.cached, self.rank_BL.shape[1]
        index_BL = torch.arange(length, device=rows.device).expand(count, length)
        stream_BL = spread(cached.stream_BN, Stream.ABSENT)
        self.cached = PackedTokens(index_BL, stream_BL, spread(cached.rank_BN, 0), spread(cached.limit_BN, 0))
        self.rank_BL, self.past = spread(self.rank_BL, REVEALED), self.past.spread(rows, count)
        self.new_references = None

    def put(self, rows: Tensor, part: PackedSession) -> None:
        """Begin anew at these rows, as another session of as many rows has."""
        self.rank_BL[rows] = part.rank_BL
        for name in ("stream_BN", "rank_BN", "limit_BN"):
            getattr(self.cached, name)[rows] = getattr(part.cached, name)
        self.past.put(rows, part.past)
        self.new_references = None

    def select(self, rows: Tensor) -> None:
        """Keep only these rows of the batch, in this order."""
        self.rank_BL, self.cached, self.past = self.rank_BL[rows], self.cached.select(rows), self.past.select(rows)
        self.new_references = None


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


def stack(new: list[tuple[Tensor, Tensor]]) -> KeyValues:
    return KeyValues(torch.stack([k for k, _ in new]), torch.stack([v for _, v in new]))
