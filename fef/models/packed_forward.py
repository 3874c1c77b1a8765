"""One pass through the network over the caches of many slots, in plain torch, for CPUs. Absent tokens cost nothing.

The tokens of all rows lie side by side for the products; attention runs row by row on a view of the row's cache. For that
the places of a slot are laid out so that what a row reads is one piece: references from right to left, then the context,
then the scratch of the pass: its queries, and nodes off the stem.

Shapes: B rows, T tokens of all rows that are there, N and Q places of tokens and queries in a row, D width, G key-value
heads, H heads, E head size, C places of a slot's cache, K keys that a row reads, O nodes off the stem, V vocabulary, S slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fef.models.joined import LayerWeights, Matrix
from fef.models.packed import context_seen, group_seen, node_seen, reference_seen
from fef.models.packed_pass import PassSlots, PassTokens, SlotTable
from fef.models.rotation import rope_table, rotate
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer, additive_mask

__all__ = ["BlockLayer", "Bounds", "TorchForward", "visible_keys"]

# not cuDNN's: it fails at run time on views of a cache that begin anywhere
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True)
class Bounds:
    """No row of a pass has a longer context, or a reference at a higher rank: what lies behind need not be read."""

    context: int
    references: int


@dataclass
class Ragged:
    """Tokens of all rows side by side.

    slot_T, place_T: where their keys go. rotation: cosines and sines of each token. rows: slot of each row, its first token
    and the one behind its last. bias_TK: 0 where a key is seen.
    """

    slot_T: Tensor
    place_T: Tensor
    rotation: tuple[Tensor, Tensor]
    rows: list[tuple[int, int, int]]
    bias_TK: Tensor


class BlockLayer:
    """A block of a network as it is, with the functions of token states [T, .] that `LayerWeights` has; `qkv` gives queries,
    keys and values side by side."""

    def __init__(self, block: Any) -> None:
        self.attn = block.attn
        self.attn_norm, self.mlp_norm = block.attn_norm, block.mlp_norm
        self.q_norm, self.k_norm = block.attn.q_norm, block.attn.k_norm
        self.out, self.mlp = block.attn.out, block.mlp

    def qkv(self, x: Tensor) -> Tensor:
        return torch.cat([self.attn.q(x), self.attn.k(x), self.attn.v(x)], dim=-1)


class TorchForward:
    """Final hidden states [M, D] at the M valid queries of a pass, row by row. The last layer runs there only. output: the
    matrix of the logits; by default that of the network."""

    def __init__(
        self,
        network: Transformer,
        layers: Sequence[BlockLayer | LayerWeights],
        cache: SlotCache,
        table: SlotTable,
        output: Matrix | None = None,
    ) -> None:
        self.network, self.layers, self.cache, self.table = network, layers, cache, table
        self.output = output or network.logits
        self.config = network.config

    @sdpa_kernel(ATTENTION)
    def __call__(self, slots: PassSlots, tokens: PassTokens, slot_B: Tensor, bounds: Bounds) -> Tensor:
        row_T, column_T = tokens.valid_BN.nonzero(as_tuple=True)
        hidden_TD = self.network.embed(tokens.ids_BN[row_T, column_T])
        ragged = self.ragged(slots, tokens, slot_B, bounds, row_T, column_T, hidden_TD.dtype)
        is_query_T = column_T >= tokens.ids_BN.shape[1] - tokens.shape.queries
        first_place = self.table.ranks - bounds.references
        places = slice(first_place, self.table.ranks + bounds.context + tokens.shape.scratch)
        for number, layer in enumerate(self.layers):
            q_THE = self.store(number, layer, hidden_TD, ragged)
            if number == len(self.layers) - 1:
                q_THE, hidden_TD = q_THE[is_query_T], hidden_TD[is_query_T]
                ragged = self.narrowed(ragged, is_query_T)
            hidden_TD = hidden_TD + layer.out(self.attend(number, q_THE, ragged, places))
            hidden_TD = hidden_TD + layer.mlp(layer.mlp_norm(hidden_TD))
        final_MD: Tensor = self.network.norm(hidden_TD)
        return final_MD

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of final hidden states [..., D]."""
        return self.output(hidden)

    def keep_path(self, slot_B: Tensor, from_BT: Tensor, to_BT: Tensor, bounds: Bounds) -> None:
        """Copy keys and values from places to places of each row (`fef.models.packed_pass.moves`), after a pass of these
        bounds."""
        row_T, column_T = (from_BT != self.table.nowhere).nonzero(as_tuple=True)
        if not len(row_T):
            return
        slot_T = slot_B[row_T]
        from_T, to_T = (own_places(self.table, bounds, x_BT[row_T, column_T]) for x_BT in (from_BT, to_BT))
        for kept_YSGCE in (self.cache.keys_YSGCE, self.cache.values_YSGCE):
            kept_YSGCE[:, slot_T, :, to_T] = kept_YSGCE[:, slot_T, :, from_T]

    def ragged(
        self,
        slots: PassSlots,
        tokens: PassTokens,
        slot_B: Tensor,
        bounds: Bounds,
        row_T: Tensor,
        column_T: Tensor,
        dtype: torch.dtype,
    ) -> Ragged:
        config, table = self.config, self.table
        cos, sin = rope_table(tokens.position_BN[row_T, column_T][None], config.rotary_size, config.rope_theta, dtype)
        own_T = own_places(table, bounds, tokens.place_BN[row_T, column_T])
        bias_TK = additive_mask(visible_keys(slots, tokens, bounds, row_T, column_T)[None], dtype)[0, 0]
        return Ragged(
            slot_B[row_T], own_T, (cos[0], sin[0]), spans(slot_B.tolist(), tokens.valid_BN.sum(1).tolist()), bias_TK
        )

    def narrowed(self, ragged: Ragged, keep_T: Tensor) -> Ragged:
        """Of the kept tokens only."""
        counts = [int(keep_T[start:stop].sum()) for _, start, stop in ragged.rows]
        slots = [slot for slot, _, _ in ragged.rows]
        return Ragged(
            ragged.slot_T[keep_T],
            ragged.place_T[keep_T],
            ragged.rotation,
            spans(slots, counts),
            ragged.bias_TK[keep_T],
        )

    def store(self, number: int, layer: BlockLayer | LayerWeights, hidden_TD: Tensor, ragged: Ragged) -> Tensor:
        """Queries of the tokens [T, H, E]; their keys and values go to the cache."""
        config = self.config
        T, heads, groups, size = len(hidden_TD), config.heads, config.kv_head_count, config.head_size
        qkv_TX = layer.qkv(layer.attn_norm(hidden_TD))
        q_TX, k_TX, v_TX = torch.split(qkv_TX, [heads * size, groups * size, groups * size], dim=-1)
        q_HTE = rotate(layer.q_norm(q_TX.view(T, heads, size)).transpose(0, 1), ragged.rotation)
        k_GTE = rotate(layer.k_norm(k_TX.view(T, groups, size)).transpose(0, 1), ragged.rotation)
        keys_SGCE, values_SGCE = self.cache.keys_YSGCE[number], self.cache.values_YSGCE[number]
        # under autocast products have another type than the cache
        keys_SGCE[ragged.slot_T, :, ragged.place_T] = k_GTE.transpose(0, 1).to(keys_SGCE.dtype)
        values_SGCE[ragged.slot_T, :, ragged.place_T] = v_TX.view(T, groups, size).to(values_SGCE.dtype)
        return q_HTE.transpose(0, 1)

    def attend(self, number: int, q_THE: Tensor, ragged: Ragged, places: slice) -> Tensor:
        """Attention outputs [T, H * E]."""
        keys_SGCE, values_SGCE = self.cache.keys_YSGCE[number], self.cache.values_YSGCE[number]
        grouped = q_THE.shape[1] != keys_SGCE.shape[1]
        mixed_TX = q_THE.new_empty(len(q_THE), q_THE.shape[1] * q_THE.shape[2])
        for slot, start, stop in ragged.rows:
            mixed_1HNE = F.scaled_dot_product_attention(
                q_THE[start:stop].transpose(0, 1)[None],
                keys_SGCE[slot, None, :, places],
                values_SGCE[slot, None, :, places],
                attn_mask=ragged.bias_TK[None, None, start:stop],
                enable_gqa=grouped,
            )
            mixed_TX[start:stop] = mixed_1HNE[0].transpose(0, 1).flatten(1)
        return mixed_TX


def own_places(table: SlotTable, bounds: Bounds, place: Tensor) -> Tensor:
    """Where this forward keeps what belongs to these places of a slot."""
    rank = place - table.context
    number = rank - table.ranks
    own = torch.where(place < table.context, table.ranks + place, table.ranks - 1 - rank)
    return torch.where(number >= 0, table.ranks + bounds.context + number, own)


def spans(slots: list[int], counts: list[int]) -> list[tuple[int, int, int]]:
    """(slot, first token, token behind the last) of rows that have any."""
    found, start = [], 0
    for slot, count in zip(slots, counts, strict=True):
        if count:
            found.append((slot, start, start + count))
        start += count
    return found


def visible_keys(slots: PassSlots, tokens: PassTokens, bounds: Bounds, row_T: Tensor, column_T: Tensor) -> Tensor:
    """Which keys each token sees, bool [T, K] (the rules of `fef.models.packed`).

    A committed slot is seen as its reference by all that follow, and as its mask by none of them.
    """
    queries = tokens.shape.queries
    at_T1 = row_T, column_T
    rank_T1, limit_T1, group_T1 = (x[at_T1][:, None] for x in (tokens.rank_BN, tokens.limit_BN, tokens.group_BN))
    context_TL = context_seen(slots.rank_SL[:, : bounds.context][row_T], rank_T1)
    reference_TR = reference_seen(torch.arange(bounds.references - 1, -1, -1, device=row_T.device), limit_T1)
    rank_TQ, group_TQ = tokens.rank_BN[:, -queries:][row_T], tokens.group_BN[:, -queries:][row_T]
    query_TQ = group_seen(rank_TQ, group_TQ, rank_T1, group_T1)
    bit_O = torch.arange(tokens.shape.off_stem, device=row_T.device)
    node_TO = node_seen(bit_O, tokens.seen_BN[at_T1][:, None])
    return torch.cat([reference_TR, context_TL, query_TQ, node_TO], dim=1)
