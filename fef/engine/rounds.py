"""What a pass holds: the tokens of a round or of a context pass, in fixed places of a fixed shape.

One pass verifies a window and drafts the next one. Its tokens, in this order:

    references   the last committed token, which no pass has seen yet, and the drafts of the window
    targets      a mask at each drafted slot; it sees the references before it
    groups       draft groups of `depth` masks: one behind the window, whose first member is the bonus target, and one at
                 each anchor, a place of the window where the round is likely to end

A context pass holds the canvas itself instead of references, no targets, and the group that starts at the first slot.
Slots are counted by rank, their place in the decoding order; a round goes on from rank `done`.

Shapes: B rows, L context places, R ranks, K drafts kept between rounds, W window, X = W + 1, G groups, D group depth, Q
queries, N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.slots import SlotState
from fef.laws.window import chance_of_runs, likely_ends, worthwhile

__all__ = ["CONTEXT_RANK", "SURVIVAL", "PassTokens", "RoundShape", "compose_context", "compose_round"]

CONTEXT_RANK = -2  # below every rank: a context token sees the whole context
NO_GROUP = -1
SURVIVAL = 0.5  # measured best, or close to it, on all three families of problems


@dataclass(frozen=True)
class RoundShape:
    """window: drafts verified a round; 0 is one token a pass. anchors: groups besides the one behind the window. depth:
    slots a group, by default one more than the window."""

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
    """The tokens of a pass; the last Q of them are queries, whose logits are read.

    What a token sees (`packed_attention` has the rule): context masks ranked later than its rank, references ranked below its
    limit, and the tokens of its own group up to itself."""

    ids_BN: Tensor  # tokens
    position_BN: Tensor  # on the canvas
    place_BN: Tensor  # where keys and values go in the cache
    valid_BN: Tensor  # is it a token?
    rank_BN: Tensor  # masks of higher rank are seen
    limit_BN: Tensor  # references of lower rank are seen
    group_BN: Tensor  # whose tokens are seen
    width_B: Tensor  # drafts in the window
    start_BG: Tensor  # window place where each group starts, -1 where it is absent
    shape: RoundShape  # of the round


def compose_round(state: SlotState, shape: RoundShape, mask_id: int) -> PassTokens:
    """The tokens of a round of these rows."""
    window = shape.window
    device = state.done_S.device
    left_B = torch.where(state.live_S, state.open_S - state.done_S, 0)
    # a draft holds with about the probability that its own law gave it
    chance_BX = chance_of_runs(state.holds_SK[:, :window])
    width_B = torch.minimum(torch.minimum(state.drafted_S.clamp(max=window), left_B), worthwhile(chance_BX, SURVIVAL))
    place_X = torch.arange(window + 1, device=device)
    is_draft_BX = (place_X > 0) & (place_X <= width_B[:, None])
    waits_BX = (place_X == 0) & ((state.done_S > 0) & state.live_S)[:, None]
    rank_BX = state.done_S[:, None] - 1 + place_X
    waiting_B1 = state.ids_at(rank_BX[:, :1])
    ids_BX = torch.cat([waiting_B1, state.draft_SK[:, :window]], 1)
    lead = Lead(ids_BX, state.positions(rank_BX), state.table.reference(rank_BX), rank_BX, rank_BX + 1)
    anchor_BA = likely_ends(chance_BX, width_B, shape.anchors)
    return with_queries(state, shape, lead, waits_BX | is_draft_BX, width_B, anchor_BA, mask_id)


def compose_context(state: SlotState, shape: RoundShape, length: int, mask_id: int) -> PassTokens:
    """The first `length` places of the canvas, and the first draft group of `shape.depth` slots."""
    assert shape.window == 0 and shape.anchors == 0, "nothing is drafted before the context is known"
    index_BL = torch.arange(length, device=state.done_S.device).expand(len(state.done_S), -1)
    valid_BL = (index_BL < state.length_S[:, None]) & state.live_S[:, None]
    rank_BL = torch.full_like(index_BL, CONTEXT_RANK)
    lead = Lead(state.ids_SL[:, :length], index_BL, index_BL, rank_BL, torch.zeros_like(index_BL))
    width_B = torch.zeros_like(state.done_S)
    return with_queries(state, shape, lead, valid_BL, width_B, width_B[:, None][:, :0], mask_id)


@dataclass
class Lead:
    """The tokens before the queries."""

    ids: Tensor
    position: Tensor
    place: Tensor
    rank: Tensor
    limit: Tensor


def with_queries(
    state: SlotState,
    shape: RoundShape,
    lead: Lead,
    lead_valid: Tensor,
    width_B: Tensor,
    anchor_BA: Tensor,
    mask_id: int,
) -> PassTokens:
    window, depth = shape.window, shape.depth
    device = state.done_S.device
    place_W, member_D = torch.arange(window, device=device), torch.arange(depth, device=device)
    done_B1 = state.done_S[:, None]
    start_BG = torch.cat([width_B[:, None], anchor_BA], 1)
    target_rank_BW = (done_B1 + place_W).expand(-1, window)
    group_rank_BGD = done_B1[..., None] + start_BG[..., None] + member_D
    in_group_BGD = (start_BG[..., None] >= 0) & (group_rank_BGD < state.open_S[:, None, None])
    rank_BQ = torch.cat([target_rank_BW, group_rank_BGD.flatten(1)], 1)
    valid_BQ = torch.cat([place_W < width_B[:, None], in_group_BGD.flatten(1)], 1) & state.live_S[:, None]
    limit_BG = done_B1 + start_BG
    limit_BQ = torch.cat([target_rank_BW, limit_BG[..., None].expand(-1, -1, depth).flatten(1)], 1)
    number_Q = torch.cat([place_W, (window + torch.arange(shape.groups, device=device)).repeat_interleave(depth)])
    queries = rank_BQ.shape[1]
    scratch_BQ = state.table.scratch(torch.arange(queries, device=device)).expand_as(rank_BQ)
    valid_BN = torch.cat([lead_valid, valid_BQ], 1)
    place_BN = torch.cat([lead.place, scratch_BQ], 1)
    limit_BN = torch.cat([lead.limit, limit_BQ], 1)
    group_BN = torch.cat([torch.full_like(lead.rank, NO_GROUP), number_Q.expand_as(rank_BQ)], 1)
    return PassTokens(
        torch.cat([lead.ids, torch.full_like(rank_BQ, mask_id)], 1),
        torch.cat([lead.position, state.positions(rank_BQ)], 1),
        torch.where(valid_BN, place_BN, state.table.nowhere),
        valid_BN,
        torch.cat([lead.rank, rank_BQ], 1),
        torch.where(valid_BN, limit_BN, 0),
        torch.where(valid_BN, group_BN, NO_GROUP),
        width_B,
        start_BG,
        shape,
    )
