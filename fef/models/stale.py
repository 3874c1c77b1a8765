"""Plain passes that leave keys and values behind, and small passes that reuse them: the caches of approximate decoders.

A bidirectional network computes every key from the whole canvas, so keys kept from an earlier canvas are out of date: an
approximation (Fast-dLLM 2505.22618, dKV-Cache 2505.15781). In a block-causal network the keys of finished blocks are final.

Shapes: R rows, B cached rows, L canvas length, N tokens of a sequence, K keys or kept positions, S slots, C shadows,
V vocabulary; Y, G, E as in `transformer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.models.groups import Groups, lay_out
from fef.models.transformer import KeyValues, Transformer, plain_visible

__all__ = ["FullPass", "KeptKeys", "StaleCache", "full_pass"]


@dataclass(frozen=True)
class FullPass:
    """Logits at slots [R, S, V] and at shadows [R, C, V], and the keys and values of the canvas."""

    logits_RSV: Tensor
    shadow_RCV: Tensor
    past: KeyValues


def full_pass(
    model: Transformer,
    ids_RL: Tensor,
    positions_RS: Tensor,
    shadows_RC: Tensor,
    lengths_R: Tensor | None,
    *,
    together: bool = False,
) -> FullPass:
    """One plain pass over the canvas and masks in the shadow of the positions `shadows_RC` (-1: none).

    A shadow sees what the token at its position sees, without that token; no token sees a shadow (WINO, 2507.18578).
    together: a shadow also sees the other shadows at positions that it sees, as in WINO's code. Else, with one layer, its
    logits are those of the canvas with that position masked; with more layers, the other tokens have seen it.
    """
    L, C = ids_RL.shape[1], shadows_RC.shape[1]
    index_RL = torch.arange(L, device=ids_RL.device).expand_as(ids_RL)
    at_RC = shadows_RC.clamp(min=0)
    main_RLL = visible_keys(model, index_RL, L, lengths_R)
    shadow_RCL = visible_keys(model, at_RC, L, lengths_R) & (index_RL[:, None] != at_RC[..., None])
    own_CC = torch.eye(C, dtype=torch.bool, device=ids_RL.device)
    among_RCC = own_CC.expand(len(ids_RL), -1, -1)
    if together:
        seen_RCC = visible_keys(model, at_RC, L, lengths_R).gather(2, at_RC[:, None].expand(-1, C, -1))
        among_RCC = own_CC | seen_RCC & (shadows_RC >= 0)[:, None]
    blind_RLC = torch.zeros(len(ids_RL), L, C, dtype=torch.bool, device=ids_RL.device)
    visible = torch.cat([torch.cat([main_RLL, blind_RLC], 2), torch.cat([shadow_RCL, among_RCC], 2)], 1)
    ids_RN = torch.cat([ids_RL, torch.full_like(at_RC, model.mask_id)], 1)
    hidden_RND, new = model.trunk(ids_RN, torch.cat([index_RL, at_RC], 1), visible)
    past = KeyValues(torch.stack([k[:, :, :L] for k, _ in new]), torch.stack([v[:, :, :L] for _, v in new]))
    at_RS = model.reads(positions_RS)
    chosen_RSD = hidden_RND.gather(1, at_RS[..., None].expand(-1, -1, hidden_RND.shape[-1]))
    return FullPass(model.logits(chosen_RSD), model.logits(hidden_RND[:, L:]), past)


class KeptKeys(ABC):
    """Keys and values of every position of some canvases, as they were when they were last computed."""

    model: Transformer
    groups: Groups  # of the last step

    @abstractmethod
    def renew(
        self, rows: Tensor, ids_RL: Tensor, positions_RS: Tensor, shadows_RC: Tensor, lengths_R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The logits of a full pass over the canvases of these rows, at slots and at shadows; all its keys are kept."""

    def step(
        self,
        ids_RL: Tensor,
        fresh_RL: Tensor,
        positions_RS: Tensor,
        owner_R: Tensor,
        lengths_B: Tensor | None,
        source_RL: Tensor | None = None,
    ) -> Tensor:
        """Logits [R, S, V] at `positions_RS`, computing the positions `fresh_RL` only, which must hold those.

        owner_R: the cached row of each row of ids, ascending. Rows of one owner are groups in one sequence, so its keys are
        read once and never copied per row. lengths_B: real tokens of each cached row, if they differ. source_RL: as in
        `lay_out`.
        """
        self.groups = groups = lay_out(fresh_RL, owner_R, source_RL)
        ids_BN = ids_RL[groups.row_BN, groups.index_BN]
        at_RS = groups.column_RL.gather(1, self.model.reads(positions_RS)).clamp(min=0)
        return self.compute(groups, ids_BN, at_RS, fresh_RL, None if lengths_B is None else lengths_B[groups.owner_B])

    @abstractmethod
    def compute(
        self, groups: Groups, ids_BN: Tensor, at_RS: Tensor, fresh_RL: Tensor, lengths_B: Tensor | None
    ) -> Tensor:
        """Logits [R, S, V] at the tokens `at_RS` of the sequences of a step, whose canvases have these lengths."""

    def store(self, keep_BL: Tensor, row_B: Tensor) -> None:
        """Keep what the last step computed at the positions `keep_BL`, from its row `row_B` for each cached row."""
        column_BL = self.groups.column_RL[row_B]
        cached_K, place_K = (keep_BL & (column_BL >= 0)).nonzero(as_tuple=True)
        self.put(cached_K, place_K, self.groups.sequence_R[row_B[cached_K]], column_BL[cached_K, place_K])

    @abstractmethod
    def put(self, cached_K: Tensor, place_K: Tensor, sequence_K: Tensor, column_K: Tensor) -> None:
        """Keep tokens of the last step, each of a column of a sequence, at places of cached rows."""

    @abstractmethod
    def beginning(self, row: int, length: int) -> KeyValues:
        """Keys and values of the first positions of a row, as a batch of one."""

    @abstractmethod
    def begin_with(self, row: int, past: KeyValues) -> None:
        """Keep these keys and values, a batch of one row, for the first positions of a row."""

    @abstractmethod
    def grow(self, count: int) -> None:
        """Append rows that have kept nothing."""

    @abstractmethod
    def select(self, rows: Tensor) -> None:
        """Keep only these rows."""


class StaleCache(KeptKeys):
    """In tensors of all rows."""

    def __init__(self, model: Transformer, past: KeyValues) -> None:
        self.model, self.past = model, past

    @classmethod
    def empty(cls, model: Transformer, ids_BL: Tensor) -> StaleCache:
        config = model.config
        shape = (config.layers, len(ids_BL), config.kv_head_count, ids_BL.shape[1], config.head_size)
        zeros = torch.zeros(shape, dtype=model.embed.weight.dtype, device=ids_BL.device)
        return cls(model, KeyValues(zeros, zeros.clone()))

    def renew(
        self, rows: Tensor, ids_RL: Tensor, positions_RS: Tensor, shadows_RC: Tensor, lengths_R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        seen = full_pass(self.model, ids_RL, positions_RS, shadows_RC, lengths_R)
        self.past.put(rows, seen.past)
        return seen.logits_RSV, seen.shadow_RCV

    def compute(
        self, groups: Groups, ids_BN: Tensor, at_RS: Tensor, fresh_RL: Tensor, lengths_B: Tensor | None
    ) -> Tensor:
        visible_BNK = groups.visible(visible_keys(self.model, groups.index_BN, fresh_RL.shape[1], lengths_B))
        everyone = len(groups.owner_B) == self.past.keys_YBGPE.shape[1]
        past = self.past if everyone else self.past.select(groups.owner_B)
        hidden_BND, self.new = self.model.trunk(ids_BN, groups.index_BN, visible_BNK, past)
        return self.model.logits(hidden_BND[groups.sequence_R[:, None], at_RS])

    def put(self, cached_K: Tensor, place_K: Tensor, sequence_K: Tensor, column_K: Tensor) -> None:
        for layer, (key_BGNE, value_BGNE) in enumerate(self.new):
            self.past.keys_YBGPE[layer, cached_K, :, place_K] = key_BGNE[sequence_K, :, column_K]
            self.past.values_YBGPE[layer, cached_K, :, place_K] = value_BGNE[sequence_K, :, column_K]

    def beginning(self, row: int, length: int) -> KeyValues:
        return self.past.select(slice(row, row + 1)).cut(0, length)

    def begin_with(self, row: int, past: KeyValues) -> None:
        self.beginning(row, past.keys_YBGPE.shape[3]).put(slice(None), past)

    def grow(self, count: int) -> None:
        self.past = self.past.grown(count)

    def select(self, rows: Tensor) -> None:
        self.past = self.past.select(rows)


def visible_keys(model: Transformer, query_RN: Tensor, length: int, lengths_R: Tensor | None) -> Tensor:
    """Which canvas positions a token at each position `query_RN` attends to in a plain pass; bool [R, N, L]."""
    visible = plain_visible(model.config, length, lengths_R, query_RN.device)
    if visible is None:
        return torch.ones(*query_RN.shape, length, dtype=torch.bool, device=query_RN.device)
    visible_RLL = visible.expand(len(query_RN), length, length)
    return visible_RLL.gather(1, query_RN[..., None].expand(-1, -1, length))
