"""One pass through the network over the caches of many slots, in plain torch: for CPUs and for float32.

Shapes: B rows, N tokens of a pass, Q queries, D width, F feed-forward width, G key-value heads, H heads, E head size, C
places of a slot's cache, K keys that are read, V vocabulary; S slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fef.engine.cache import SlotCache
from fef.engine.rounds import PassTokens
from fef.engine.slots import REVEALED, SlotState, SlotTable
from fef.engine.weights import LayerWeights
from fef.models.transformer import Transformer, additive_mask, rope_table, rotate

__all__ = ["Bounds", "TorchForward", "visible_keys"]


@dataclass(frozen=True)
class Bounds:
    """No row of a pass has a longer context, or a reference at a higher rank: what lies behind need not be read."""

    context: int
    references: int


class TorchForward:
    """Logits [B, Q, V] at the queries of a pass. The last layer runs where logits are read only."""

    def __init__(self, network: Transformer, layers: list[LayerWeights], cache: SlotCache, table: SlotTable) -> None:
        self.network, self.layers, self.cache, self.table = network, layers, cache, table
        self.config = network.config

    def __call__(self, state: SlotState, tokens: PassTokens, slot_B: Tensor, bounds: Bounds) -> Tensor:
        network, queries = self.network, tokens.shape.queries
        hidden_BND = network.embed(tokens.ids_BN)
        rotation = rope_table(tokens.position_BN, self.config.rotary_size, self.config.rope_theta, hidden_BND.dtype)
        bias = additive_mask(visible_keys(state, tokens, bounds), hidden_BND.dtype)
        for number, layer in enumerate(self.layers):
            q_BHNE = self.store(number, layer, hidden_BND, rotation, slot_B, tokens.place_BN)
            if number == len(self.layers) - 1:
                q_BHNE, bias, hidden_BND = q_BHNE[:, :, -queries:], bias[:, :, -queries:], hidden_BND[:, -queries:]
            k_BGKE, v_BGKE = self.read(number, slot_B, bounds, queries)
            grouped = q_BHNE.shape[1] != k_BGKE.shape[1]
            mixed_BHNE = F.scaled_dot_product_attention(q_BHNE, k_BGKE, v_BGKE, attn_mask=bias, enable_gqa=grouped)
            hidden_BND = hidden_BND + layer.out(mixed_BHNE.transpose(1, 2).flatten(2))
            hidden_BND = hidden_BND + feed_forward(layer, layer.mlp_norm(hidden_BND))
        return network.logits(network.norm(hidden_BND))

    def store(
        self,
        number: int,
        layer: LayerWeights,
        hidden_BND: Tensor,
        rotation: tuple[Tensor, Tensor],
        slot_B: Tensor,
        place_BN: Tensor,
    ) -> Tensor:
        """Queries of the new tokens [B, H, N, E]; their keys and values go to the cache."""
        config = self.config
        heads, groups, size = config.heads, config.kv_head_count, config.head_size
        qkv_BNX = layer.qkv(layer.attn_norm(hidden_BND))
        q_BNX, k_BNX, v_BNX = torch.split(qkv_BNX, [heads * size, groups * size, groups * size], dim=-1)
        q_BHNE = rotate(layer.q_norm(q_BNX.unflatten(-1, (heads, size)).transpose(1, 2)), rotation)
        k_BGNE = rotate(layer.k_norm(k_BNX.unflatten(-1, (groups, size)).transpose(1, 2)), rotation)
        keys_SGCE, values_SGCE = self.cache.keys_YSGCE[number], self.cache.values_YSGCE[number]
        keys_SGCE[slot_B[:, None], :, place_BN] = k_BGNE.transpose(1, 2)
        values_SGCE[slot_B[:, None], :, place_BN] = v_BNX.unflatten(-1, (groups, size))
        return q_BHNE

    def read(self, number: int, slot_B: Tensor, bounds: Bounds, queries: int) -> tuple[Tensor, Tensor]:
        """Keys and values [B, G, K, E] of the context, the references and the queries of this pass."""
        table = self.table
        start = table.context + table.ranks
        pieces = [
            slice(0, bounds.context),
            slice(table.context, table.context + bounds.references),
            slice(start, start + queries),
        ]
        keys_SGCE, values_SGCE = self.cache.keys_YSGCE[number], self.cache.values_YSGCE[number]
        k_BGKE = torch.cat([keys_SGCE[slot_B, :, piece] for piece in pieces], dim=2)
        return k_BGKE, torch.cat([values_SGCE[slot_B, :, piece] for piece in pieces], dim=2)


def feed_forward(layer: LayerWeights, hidden: Tensor) -> Tensor:
    gate, up = layer.gate_up(hidden).chunk(2, dim=-1)
    return layer.down(F.silu(gate) * up)


def visible_keys(state: SlotState, tokens: PassTokens, bounds: Bounds) -> Tensor:
    """Which keys each token sees, bool [B, N, K]: the pattern of `fef.models.packed` in terms of ranks.

    A context mask is seen by what is ranked before it, and no reference ranked at or behind a token's limit is seen. So a
    committed slot is seen as its reference by all that follow, and as its mask by none of them.
    """
    queries = tokens.shape.queries
    rank_BN1, limit_BN1, group_BN1 = tokens.rank_BN[..., None], tokens.limit_BN[..., None], tokens.group_BN[..., None]
    context_B1L = state.rank_SL[:, None, : bounds.context]
    context_BNL = (context_B1L == REVEALED) | (context_B1L > rank_BN1)
    reference_BNR = torch.arange(bounds.references, device=rank_BN1.device) < limit_BN1
    rank_B1Q, group_B1Q = tokens.rank_BN[:, None, -queries:], tokens.group_BN[:, None, -queries:]
    query_BNQ = (group_B1Q >= 0) & (group_B1Q == group_BN1) & (rank_B1Q <= rank_BN1)
    return torch.cat([context_BNL, reference_BNR, query_BNQ], dim=2)
