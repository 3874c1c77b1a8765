"""A network whose passes run under graphs, for sessions: plain passes, and the keys that scorers keep between passes.

Passes with masks in the shadow of other tokens, hidden states and the packed law stay in plain torch.

Shapes: R rows of ids, B rows that keep keys, or sequences of a pass, L canvas length, S slots, C shadows, N tokens of a
sequence, G states of one sequence, V vocabulary.
"""

from __future__ import annotations

from weakref import finalize

import torch
from torch import Tensor

from fef.decoding.network import Network
from fef.engine.arena import NOWHERE, Arena
from fef.engine.cached_passes import ArenaTokens, CachedPasses
from fef.models.config import TransformerConfig
from fef.models.groups import Groups
from fef.models.packed import CONTEXT_RANK, REVEALED
from fef.models.packed_pass import NO_GROUP
from fef.models.stale import KeptKeys, full_pass
from fef.models.transformer import KeyValues, Transformer

__all__ = ["ArenaKeys", "CachedNetwork"]

_FAR = 1 << 30  # above every number of a block


class CachedNetwork(Network):
    """passes: of the same network, `denoiser`."""

    def __init__(self, denoiser: Transformer, passes: CachedPasses) -> None:
        super().__init__(denoiser)
        self.passes = passes

    def padded_logits(self, ids_RL: Tensor, positions_RS: Tensor, lengths_R: Tensor | None) -> Tensor:
        rows, length = ids_RL.shape
        at_once = self.passes.most_rows(length, positions_RS.shape[1])
        start_R = NOWHERE + 1 + torch.arange(rows, device=ids_RL.device) % at_once * length
        tokens = whole_canvases(self.passes.network, ids_RL, positions_RS, lengths_R, start_R)
        return self.passes.run(tokens, kept=False, whole=True)

    def kept_keys(self, ids_BL: Tensor) -> KeptKeys:
        return ArenaKeys(self.passes, *ids_BL.shape)


class ArenaKeys(KeptKeys):
    """In an arena, where graphs find them."""

    def __init__(self, passes: CachedPasses, count: int, length: int) -> None:
        self.passes, self.model, self.length = passes, passes.network, length
        self.starts: list[int] = []
        self.scratch: list[int] = []
        finalize(self, give_all, passes.arena, self.starts, self.scratch)
        self.grow(count)

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.starts.append(self.passes.arena.take(self.length))
        self.start_B = torch.tensor(self.starts, device=self.passes.device)

    def select(self, rows: Tensor) -> None:
        kept = [self.starts[row] for row in rows.tolist()]
        give_all(self.passes.arena, [start for start in self.starts if start not in kept])
        self.starts[:] = kept
        self.start_B = torch.tensor(kept, device=self.passes.device)

    def renew(
        self, rows: Tensor, ids_RL: Tensor, positions_RS: Tensor, shadows_RC: Tensor, lengths_R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        start_R = self.start_B[rows]
        if shadows_RC.shape[1]:
            seen = full_pass(self.model, ids_RL, positions_RS, shadows_RC, lengths_R)
            index_L = torch.arange(self.length, device=start_R.device)
            self.passes.arena.write(start_R[:, None] + index_L, seen.past)
            return seen.logits_RSV, seen.shadow_RCV
        tokens = whole_canvases(self.model, ids_RL, positions_RS, lengths_R, start_R)
        logits_RSV = self.passes.run(tokens, kept=True, whole=True)
        return logits_RSV, logits_RSV[:, :0]

    def compute(
        self, groups: Groups, ids_BN: Tensor, at_RS: Tensor, fresh_RL: Tensor, lengths_B: Tensor | None
    ) -> Tensor:
        start_B, sequence_R = self.start_B[groups.owner_B], groups.sequence_R
        give_all(self.passes.arena, self.scratch)
        self.scratch.clear()
        config, sequences_B = self.model.config, torch.arange(len(start_B), device=start_B.device)
        if len(start_B) == len(sequence_R):
            tokens = in_their_places(config, groups, ids_BN, at_RS, fresh_RL, lengths_B, start_B)
            return self.passes.run(tokens, kept=True)
        first_B = torch.searchsorted(sequence_R, sequences_B)
        state_R = torch.arange(len(sequence_R), device=sequence_R.device) - first_B[sequence_R]
        several_B = torch.bincount(sequence_R, minlength=len(start_B)) > 1
        states, several = torch.stack([state_R.max() + 1, several_B.sum()]).tolist()
        self.scratch.append(self.passes.arena.take(several * ids_BN.shape[1]))
        scratch_B = self.scratch[0] + (several_B.cumsum(0) - 1) * ids_BN.shape[1]
        reads_BGS = at_RS.new_zeros(len(start_B), states, at_RS.shape[1])
        reads_BGS[sequence_R, state_R] = at_RS
        reads_BQ, fresh_BL = reads_BGS.flatten(1), fresh_RL[first_B]
        apart = side_by_side(config, groups, ids_BN, reads_BQ, fresh_BL, start_B, scratch_B)
        # The order of a row's sums, and so its bits, may not depend on how many states other rows have.
        in_place = in_their_places(config, groups, ids_BN, reads_BQ, fresh_BL, lengths_B, start_B)
        tokens = apart.where(several_B, in_place)
        self.place_BN = tokens.place_BN
        logits_BQV = self.passes.run(tokens, kept=True)
        return logits_BQV.view(len(start_B), states, at_RS.shape[1], -1)[sequence_R, state_R]

    def store(self, keep_BL: Tensor, row_B: Tensor) -> None:
        if self.scratch:  # else the tokens of the last step wrote to their own places
            super().store(keep_BL, row_B)

    def put(self, cached_K: Tensor, place_K: Tensor, sequence_K: Tensor, column_K: Tensor) -> None:
        self.passes.arena.move(self.place_BN[sequence_K, column_K], self.start_B[cached_K] + place_K)

    def beginning(self, row: int, length: int) -> KeyValues:
        return self.passes.arena.read(self.starts[row], length)

    def begin_with(self, row: int, past: KeyValues) -> None:
        index_P = torch.arange(past.keys_YBGPE.shape[3], device=self.passes.device)
        self.passes.arena.write((self.starts[row] + index_P)[None], past)


def give_all(arena: Arena, *starts: list[int]) -> None:
    for several in starts:
        for start in several:
            arena.give(start)


def whole_canvases(
    model: Transformer, ids_RL: Tensor, positions_RS: Tensor, lengths_R: Tensor | None, start_R: Tensor
) -> ArenaTokens:
    """A plain pass: each token sees what the network's own pattern says."""
    index_RL = torch.arange(ids_RL.shape[1], device=ids_RL.device).expand_as(ids_RL)
    block_RL = block_of(model.config, index_RL)
    no_group_RL = torch.full_like(index_RL, NO_GROUP)
    return ArenaTokens(
        ids_RL,
        index_RL,
        start_R[:, None] + index_RL,
        token_rank(model.config, block_RL),
        no_group_RL,
        no_group_RL,
        context_rank(model.config, block_RL),
        start_R,
        torch.full_like(start_R, ids_RL.shape[1]) if lengths_R is None else lengths_R,
        start_R,
        model.reads(positions_RS),
    )


def in_their_places(
    config: TransformerConfig,
    groups: Groups,
    ids_BN: Tensor,
    reads_BS: Tensor,
    fresh_BL: Tensor,
    lengths_B: Tensor | None,
    start_B: Tensor,
) -> ArenaTokens:
    """One state per row: its tokens write over the older keys of their positions and see those of all others."""
    index_L = torch.arange(fresh_BL.shape[1], device=fresh_BL.device)
    block_BL = block_of(config, index_L.expand_as(fresh_BL))
    no_group_BN = torch.full_like(ids_BN, NO_GROUP)
    behind_B = torch.full_like(start_B, fresh_BL.shape[1]) if lengths_B is None else lengths_B
    if config.attention != "bidirectional":
        # what lies behind the last block that is computed may never have been written
        last_B = torch.where(fresh_BL, block_BL, -1).amax(1)
        behind_B = behind_B.minimum((block_BL <= last_B[:, None]).sum(1))
    return ArenaTokens(
        ids_BN,
        groups.index_BN,
        torch.where(groups.real_BN, start_B[:, None] + groups.index_BN, NOWHERE),
        token_rank(config, block_of(config, groups.index_BN)),
        no_group_BN,
        no_group_BN,
        context_rank(config, block_BL),
        start_B,
        behind_B,
        start_B,
        reads_BS,
    )


def side_by_side(
    config: TransformerConfig,
    groups: Groups,
    ids_BN: Tensor,
    reads_BQ: Tensor,
    fresh_BL: Tensor,
    start_B: Tensor,
    scratch_B: Tensor,
) -> ArenaTokens:
    """Several states per row, each a group of tokens: it sees the cached keys before its fresh positions, and of the fresh
    ones in its own and earlier blocks those that stand for it. Rows of ids that share a token follow one another."""
    assert config.attention != "bidirectional", "what comes behind the fresh positions is not seen"
    column_N = torch.arange(ids_BN.shape[1], device=ids_BN.device)
    return ArenaTokens(
        ids_BN,
        groups.index_BN,
        torch.where(groups.real_BN, scratch_B[:, None] + column_N, NOWHERE),
        block_of(config, groups.index_BN),
        torch.where(groups.real_BN, groups.row_BN, NO_GROUP),
        torch.where(groups.real_BN, groups.row_BN + users(groups), NO_GROUP),
        torch.full_like(fresh_BL, REVEALED, dtype=torch.int64),
        start_B,
        fresh_BL.int().argmax(1),
        scratch_B,
        reads_BQ,
    )


def users(groups: Groups) -> Tensor:
    """By how many rows of ids each token is seen as their own, [B, N]."""
    source_RL = groups.source_RL
    count_RL = torch.zeros_like(source_RL).scatter_add_(0, source_RL.clamp(min=0), (source_RL >= 0).long())
    return count_RL[groups.row_BN, groups.index_BN]


def block_of(config: TransformerConfig, index: Tensor) -> Tensor:
    return index // (config.block_length or 1)


def token_rank(config: TransformerConfig, block: Tensor) -> Tensor:
    """With `context_rank`: a token sees the context of its own and earlier blocks, in a bidirectional network all."""
    return torch.full_like(block, CONTEXT_RANK) if config.attention == "bidirectional" else _FAR - 1 - block


def context_rank(config: TransformerConfig, block: Tensor) -> Tensor:
    return torch.full_like(block, REVEALED) if config.attention == "bidirectional" else _FAR - block
