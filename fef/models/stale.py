"""Plain passes that leave keys and values behind, and small passes that reuse them: the caches of approximate decoders.

A bidirectional network computes every key from the whole canvas, so keys kept from an earlier canvas are out of date: an
approximation (Fast-dLLM 2505.22618, dKV-Cache 2505.15781). In a block-causal network the keys of finished blocks are final.

Shapes: R rows, L canvas length, N positions computed, K keys, S slots, C shadows, V vocabulary; Y, G, E as in `transformer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.models.transformer import KeyValues, Transformer, plain_visible

__all__ = ["FullPass", "StaleCache", "full_pass"]


@dataclass(frozen=True)
class FullPass:
    """Logits at slots [R, S, V] and at shadows [R, C, V], and the keys and values of the canvas."""

    logits_RSV: Tensor
    shadow_RCV: Tensor
    past: KeyValues


def full_pass(
    model: Transformer, ids_RL: Tensor, positions_RS: Tensor, shadows_RC: Tensor, lengths_R: Tensor | None
) -> FullPass:
    """One plain pass over the canvas and masks in the shadow of the positions `shadows_RC` (-1: none).

    A shadow sees what the token at its position sees, without that token; no token sees a shadow (WINO, 2507.18578). With
    one layer its logits are those of the canvas with that position masked; with more, the other tokens have seen it.
    """
    L, C = ids_RL.shape[1], shadows_RC.shape[1]
    index_RL = torch.arange(L, device=ids_RL.device).expand_as(ids_RL)
    at_RC = shadows_RC.clamp(min=0)
    main_RLL = visible_keys(model, index_RL, L, lengths_R)
    shadow_RCL = visible_keys(model, at_RC, L, lengths_R) & (index_RL[:, None] != at_RC[..., None])
    own_CC = torch.eye(C, dtype=torch.bool, device=ids_RL.device).expand(len(ids_RL), -1, -1)
    blind_RLC = torch.zeros(len(ids_RL), L, C, dtype=torch.bool, device=ids_RL.device)
    visible = torch.cat([torch.cat([main_RLL, blind_RLC], 2), torch.cat([shadow_RCL, own_CC], 2)], 1)
    ids_RN = torch.cat([ids_RL, torch.full_like(at_RC, model.mask_id)], 1)
    hidden_RND, new = model.trunk(ids_RN, torch.cat([index_RL, at_RC], 1), visible)
    past = KeyValues(torch.stack([k[:, :, :L] for k, _ in new]), torch.stack([v[:, :, :L] for _, v in new]))
    at_RS = model.reads(positions_RS)
    chosen_RSD = hidden_RND.gather(1, at_RS[..., None].expand(-1, -1, hidden_RND.shape[-1]))
    return FullPass(model.logits(chosen_RSD), model.logits(hidden_RND[:, L:]), past)


class StaleCache:
    """Keys and values of every position of a canvas, as they were when they were last computed."""

    def __init__(self, model: Transformer, past: KeyValues, lengths_B: Tensor | None) -> None:
        self.model, self.past, self.lengths_B = model, past, lengths_B

    @classmethod
    def empty(cls, model: Transformer, ids_BL: Tensor, lengths_B: Tensor | None) -> StaleCache:
        config = model.config
        shape = (config.layers, len(ids_BL), config.kv_head_count, ids_BL.shape[1], config.head_size)
        zeros = torch.zeros(shape, dtype=model.embed.weight.dtype, device=ids_BL.device)
        return cls(model, KeyValues(zeros, zeros.clone()), lengths_B)

    def step(self, ids_RL: Tensor, fresh_RL: Tensor, positions_RS: Tensor, owner_R: Tensor) -> Tensor:
        """Logits [R, S, V] at `positions_RS`, computing the positions `fresh_RL` only, which must hold those.

        owner_R: the cached row of each row of ids.
        """
        L = ids_RL.shape[1]
        count = int(fresh_RL.sum(1).max())
        index_RN = (~fresh_RL).long().argsort(dim=1, stable=True)[:, :count]
        real_RN = fresh_RL.gather(1, index_RN)
        lengths_R = None if self.lengths_B is None else self.lengths_B[owner_R]
        pattern_RNL = visible_keys(self.model, index_RN, L, lengths_R)
        new_RNN = pattern_RNL.gather(2, index_RN[:, None].expand(-1, count, -1)) & real_RN[:, None]
        visible = torch.cat([pattern_RNL & ~fresh_RL[:, None], new_RNN], 2)
        hidden_RND, new = self.model.trunk(ids_RL.gather(1, index_RN), index_RN, visible, self.past.select(owner_R))
        self.new = index_RN, real_RN, new
        column_RL = fresh_RL.long().cumsum(1) - 1
        at_RS = column_RL.gather(1, self.model.reads(positions_RS)).clamp(min=0)
        return self.model.logits(hidden_RND.gather(1, at_RS[..., None].expand(-1, -1, hidden_RND.shape[-1])))

    def store(self, keep_BL: Tensor, row_B: Tensor) -> None:
        """Keep what the last step computed at the positions `keep_BL`, from its row `row_B` for each cached row."""
        index_RN, real_RN, new = self.new
        index_BN = index_RN[row_B]
        take_BN = real_RN[row_B] & keep_BL.gather(1, index_BN)
        row_K, column_K = take_BN.nonzero(as_tuple=True)
        place_K = index_BN[row_K, column_K]
        for layer, (key, value) in enumerate(new):
            self.past.keys_YBGPE[layer, row_K, :, place_K] = key[row_B][row_K, :, column_K]
            self.past.values_YBGPE[layer, row_K, :, place_K] = value[row_B][row_K, :, column_K]

    def select(self, rows: Tensor) -> None:
        self.past = self.past.select(rows)
        self.lengths_B = None if self.lengths_B is None else self.lengths_B[rows]


def visible_keys(model: Transformer, query_RN: Tensor, length: int, lengths_R: Tensor | None) -> Tensor:
    """Which canvas positions a token at each position `query_RN` attends to in a plain pass; bool [R, N, L]."""
    visible = plain_visible(model.config, length, lengths_R, query_RN.device)
    if visible is None:
        return torch.ones(*query_RN.shape, length, dtype=torch.bool, device=query_RN.device)
    visible_RLL = visible.expand(len(query_RN), length, length)
    return visible_RLL.gather(1, query_RN[..., None].expand(-1, -1, length))
