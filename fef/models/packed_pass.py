"""What a packed pass over slots holds: its tokens, in fixed places of a fixed shape.

A round verifies a window and drafts the next one. Its tokens, in this order:

    references   the last committed token, which no pass has seen yet, and the drafts of the window
    targets      a mask at each drafted slot; it sees the references before it
    groups       draft groups of `depth` masks: one behind the window, whose first member is the bonus target, and one at
                 each anchor, a place of the window where the round is likely to end

A context pass holds the canvas itself instead of references, no targets, and the group that starts at the first slot.
Slots of a canvas are counted by rank, their place in the decoding order; a round goes on from rank `done`.

Shapes: B rows, S slots of the table, L context places, R ranks, W window, X = W + 1, G groups, D group depth, Q queries,
N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.models.packed import CONTEXT_RANK

__all__ = ["PassSlots", "PassTokens", "RoundShape", "SlotTable", "context_pass", "round_pass"]

NO_GROUP = -1


@dataclass(frozen=True)
class SlotTable:
    """Sizes. Cache places of a slot: its context, its references by rank, scratch for the queries of a pass, and one place
    for tokens that are absent."""

    slots: int
    context: int
    ranks: int
    drafts: int
    queries: int

    @property
    def places(self) -> int:
        return self.context + self.ranks + self.queries + 1

    @property
    def nowhere(self) -> int:
        return self.places - 1

    def reference(self, rank: Tensor) -> Tensor:
        return self.context + rank

    def scratch(self, query: Tensor) -> Tensor:
        return self.context + self.ranks + query


@dataclass
class PassSlots:
    """Requests in one denoising pass, as far as the pattern needs to know them."""

    table: SlotTable
    order_SR: Tensor  # canvas position of each rank
    rank_SL: Tensor  # rank of each masked slot, REVEALED, or PADDING
    length_S: Tensor  # canvas length
    open_S: Tensor  # ranks of the pass
    done_S: Tensor  # those committed
    live_S: Tensor  # is there something left to draw?

    def positions(self, rank: Tensor) -> Tensor:
        """Canvas positions of ranks [B, .]; of ranks outside the table, some position."""
        return self.order_SR.gather(1, rank.clamp(0, self.table.ranks - 1))


@dataclass(frozen=True)
class RoundShape:
    """window: drafts verified per round; 0 is one token per pass. anchors: groups besides the one behind the window. depth:
    slots per group, by default one more than the window."""

    window: int
    anchors: int = 0
    depth: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", self.depth or self.window + 1)
        object.__setattr__(self, "anchors", min(self.anchors, self.window))

    @property
    def groups(self) -> int:
        return self.anchors + 1

    @property
    def queries(self) -> int:
        return self.window + self.groups * self.depth

    @property
    def tokens(self) -> int:
        return self.window + 1 + self.queries


@dataclass
class PassTokens:
    """The tokens of a pass; the last Q of them are queries, whose logits are read."""

    ids_BN: Tensor
    position_BN: Tensor  # on the canvas
    place_BN: Tensor  # where keys and values go in the cache
    valid_BN: Tensor
    rank_BN: Tensor  # context masks ranked later are seen
    limit_BN: Tensor  # references ranked below it are seen
    group_BN: Tensor  # tokens of the same group up to itself are seen; NO_GROUP: none
    width_B: Tensor  # drafts in the window
    start_BG: Tensor  # window place where each group starts, -1 where it is absent
    shape: RoundShape


def round_pass(
    slots: PassSlots,
    shape: RoundShape,
    ids_BX: Tensor,
    waits_B: Tensor,
    width_B: Tensor,
    start_BG: Tensor,
    mask_id: int,
) -> PassTokens:
    """The tokens of a round. ids_BX: the last committed token, and the drafts. waits_B: rows whose last committed token no
    pass has seen. width_B, start_BG: see `PassTokens`."""
    place_X = torch.arange(shape.window + 1, device=ids_BX.device)
    valid_BX = torch.where(place_X == 0, waits_B[:, None], place_X <= width_B[:, None])
    rank_BX = slots.done_S[:, None] - 1 + place_X
    place_BX = slots.table.reference(rank_BX)
    lead = Lead(ids_BX, slots.positions(rank_BX), place_BX, rank_BX, rank_BX + 1)
    return with_queries(slots, shape, lead, valid_BX, width_B, start_BG, mask_id)


def context_pass(slots: PassSlots, shape: RoundShape, ids_BL: Tensor, mask_id: int) -> PassTokens:
    """The first L places of the canvas, and the first draft group of `shape.depth` slots."""
    assert shape.window == 0 and shape.anchors == 0, "nothing is drafted before the context is known"
    index_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand(len(ids_BL), -1)
    valid_BL = (index_BL < slots.length_S[:, None]) & slots.live_S[:, None]
    rank_BL = torch.full_like(index_BL, CONTEXT_RANK)
    lead = Lead(ids_BL, index_BL, index_BL, rank_BL, torch.zeros_like(index_BL))
    zero_B = torch.zeros_like(slots.done_S)
    return with_queries(slots, shape, lead, valid_BL, zero_B, zero_B[:, None], mask_id)


@dataclass
class Lead:
    """The tokens before the queries."""

    ids: Tensor
    position: Tensor
    place: Tensor
    rank: Tensor
    limit: Tensor


def with_queries(
    slots: PassSlots,
    shape: RoundShape,
    lead: Lead,
    lead_valid: Tensor,
    width_B: Tensor,
    start_BG: Tensor,
    mask_id: int,
) -> PassTokens:
    window, depth = shape.window, shape.depth
    device = slots.done_S.device
    place_W, member_D = torch.arange(window, device=device), torch.arange(depth, device=device)
    done_B1 = slots.done_S[:, None]
    target_rank_BW = (done_B1 + place_W).expand(-1, window)
    group_rank_BGD = done_B1[..., None] + start_BG[..., None] + member_D
    in_group_BGD = (start_BG[..., None] >= 0) & (group_rank_BGD < slots.open_S[:, None, None])
    rank_BQ = torch.cat([target_rank_BW, group_rank_BGD.flatten(1)], 1)
    valid_BQ = torch.cat([place_W < width_B[:, None], in_group_BGD.flatten(1)], 1) & slots.live_S[:, None]
    limit_BG = done_B1 + start_BG
    limit_BQ = torch.cat([target_rank_BW, limit_BG[..., None].expand(-1, -1, depth).flatten(1)], 1)
    number_Q = torch.cat([place_W, (window + torch.arange(shape.groups, device=device)).repeat_interleave(depth)])
    queries = rank_BQ.shape[1]
    scratch_BQ = slots.table.scratch(torch.arange(queries, device=device)).expand_as(rank_BQ)
    valid_BN = torch.cat([lead_valid & slots.live_S[:, None], valid_BQ], 1)
    place_BN = torch.cat([lead.place, scratch_BQ], 1)
    limit_BN = torch.cat([lead.limit, limit_BQ], 1)
    group_BN = torch.cat([torch.full_like(lead.rank, NO_GROUP), number_Q.expand_as(rank_BQ)], 1)
    return PassTokens(
        ids_BN=torch.cat([lead.ids, torch.full_like(rank_BQ, mask_id)], 1),
        position_BN=torch.cat([lead.position, slots.positions(rank_BQ)], 1),
        place_BN=torch.where(valid_BN, place_BN, slots.table.nowhere),
        valid_BN=valid_BN,
        rank_BN=torch.cat([lead.rank, rank_BQ], 1),
        limit_BN=torch.where(valid_BN, limit_BN, 0),
        group_BN=torch.where(valid_BN, group_BN, NO_GROUP),
        width_B=width_B,
        start_BG=start_BG,
        shape=shape,
    )
