"""What a packed pass over slots holds: its tokens, in fixed places of a fixed shape.

A round verifies a tree of drafts and drafts the next ones (`fef.laws.tree` has the words). Its tokens, in this order:

    references   the last committed token, which no pass has seen yet, and the nodes of the tree; they see their ancestors
    targets      per state a mask at the slot behind it, which sees the path to that state
    groups       behind the targets of some states depth - 1 more masks, at the slots that follow: with the target they are a
                 draft group, of which each member sees the path to the state and the members up to itself

A context pass holds the canvas itself instead of references, and one group, which starts at the first slot. Slots of a canvas
are counted by rank, their place in the decoding order; a round goes on from rank `done`.

Shapes: B rows, S slots of the table, L context places, R ranks, W nodes, X = W + 1 states, G groups, Q queries, N tokens, T
places of a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fef.laws.accept import Accepted
from fef.laws.tree import Tree, along, given_chain, path_bits, stem
from fef.models.packed import CONTEXT_RANK

__all__ = [
    "PassSlots",
    "PassTokens",
    "RoundShape",
    "SlotTable",
    "context_pass",
    "moves",
    "round_pass",
    "states_of_queries",
]

NO_GROUP = -1


@dataclass(frozen=True)
class SlotTable:
    """Sizes. Cache places of a slot: its context, its references by rank, scratch for a pass (`RoundShape.scratch`), and one
    place for tokens that are absent."""

    slots: int
    context: int
    ranks: int
    drafts: int  # depths whose drafts are kept between rounds
    scratch_places: int
    branching: int = 1  # candidates of a depth that are kept
    nodes: int = 0  # of trees that a draft head grew
    grown: int = 0  # depths of these

    @property
    def places(self) -> int:
        return self.context + self.ranks + self.scratch_places + 1

    @property
    def nowhere(self) -> int:
        return self.places - 1

    def reference(self, rank: Tensor) -> Tensor:
        return self.context + rank

    def scratch(self, number: Tensor) -> Tensor:
        return self.context + self.ranks + number


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
    """window: nodes verified per round; 0 is one token per pass. anchors: draft groups besides the one at the end of the
    stem. depth: slots per group, by default one more than the window. branching: candidates of a depth; of one, the tree is
    a chain, all of whose nodes lie on the stem. head: its nodes are those that a draft head grew, and the next ones will be;
    if not, nodes are of the marginals."""

    window: int
    anchors: int = 0
    depth: int = 0
    branching: int = 1
    head: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", self.depth or self.window + 1)
        object.__setattr__(self, "anchors", min(self.anchors, self.window))

    @property
    def states(self) -> int:
        return self.window + 1

    @property
    def groups(self) -> int:
        return self.anchors + 1

    @property
    def queries(self) -> int:
        return self.states + self.groups * (self.depth - 1)

    @property
    def deepest(self) -> int:
        """Depths that have nodes; of a tree those that a group leaves to the next round, whose first slot is drawn."""
        return self.window if self.branching == 1 else min(self.window, self.depth - 1)

    @property
    def words(self) -> str:
        if self.branching > 1:
            return f"trees of {self.window}{' with the head' if self.head else ''}"
        groups = f" with {self.groups} groups" if self.groups > 2 else ""
        return f"chains of {self.window}{groups}" if self.window else "one token"

    @property
    def off_stem(self) -> int:
        """Nodes that may lie off the stem."""
        return self.window if self.branching > 1 else 0

    @property
    def scratch(self) -> int:
        """Cache places that a round writes beside references: of its queries, and of nodes off the stem."""
        return self.queries + self.off_stem

    @cached_property
    def tokens(self) -> int:
        return self.states + self.queries


@dataclass
class PassTokens:
    """The tokens of a pass; the last Q of them are queries, whose logits are read."""

    ids_BN: Tensor
    position_BN: Tensor  # on the canvas
    place_BN: Tensor  # where keys and values go in the cache
    valid_BN: Tensor
    rank_BN: Tensor  # context masks ranked later are seen
    limit_BN: Tensor  # references ranked below it are seen
    group_BN: Tensor  # tokens of the same group up to itself are seen: the state it starts at; NO_GROUP: none
    seen_BN: Tensor  # nodes off the stem that are seen: a bit each
    tree: Tree
    start_BG: Tensor  # state where each group starts, -1 where it is absent
    shape: RoundShape


def round_pass(
    slots: PassSlots,
    shape: RoundShape,
    tree: Tree,
    ids_BX: Tensor,
    waits_B: Tensor,
    start_BG: Tensor,
    mask_id: int,
) -> PassTokens:
    """The tokens of a round. ids_BX: the last committed token, and what the nodes hold. waits_B: rows whose last committed
    token no pass has seen. start_BG: see `PassTokens`."""
    sight, table = sight_of(slots, shape, tree), slots.table
    rank_BX = slots.done_S[:, None] - 1 + tree.depth_BX
    scratch_X = table.scratch(shape.queries - 1 + torch.arange(shape.states, device=rank_BX.device))
    place_BX = torch.where(sight.stem_BX, table.reference(rank_BX), scratch_X)
    lead = Lead(
        ids_BX, slots.positions(rank_BX), place_BX, torch.cat([waits_B[:, None], tree.there_BW], 1), rank_BX,
        sight.limit_BX, sight.seen_BX,
    )  # fmt: skip
    return with_queries(slots, shape, tree, lead, sight, start_BG, mask_id)


def context_pass(slots: PassSlots, shape: RoundShape, ids_BL: Tensor, mask_id: int) -> PassTokens:
    """The first L places of the canvas, and the first draft group of `shape.depth` slots."""
    assert shape.window == 0 and shape.anchors == 0, "nothing is drafted before the context is known"
    index_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand(len(ids_BL), -1)
    valid_BL = index_BL < slots.length_S[:, None]
    zero_BL = torch.zeros_like(index_BL)
    lead = Lead(ids_BL, index_BL, index_BL, valid_BL, torch.full_like(index_BL, CONTEXT_RANK), zero_BL, zero_BL)
    zero_B1 = torch.zeros_like(slots.done_S)[:, None]
    tree = given_chain(zero_B1[:, 0], 0)
    return with_queries(slots, shape, tree, lead, sight_of(slots, shape, tree), zero_B1, mask_id)


def states_of_queries(start_BG: Tensor, shape: RoundShape) -> Tensor:
    """The state to which each query sees the path [B, Q]."""
    state_BX = torch.arange(shape.states, device=start_BG.device).expand(len(start_BG), -1)
    return torch.cat([state_BX, start_BG.clamp(min=0).repeat_interleave(shape.depth - 1, dim=1)], 1)


def moves(slots: PassSlots, tokens: PassTokens, accepted: Accepted) -> tuple[Tensor, Tensor]:
    """Cache places [B, T] from which and to which the keys of accepted nodes go that lie off the stem; elsewhere, nowhere.
    The slots are as they were before the round."""
    table, path_BT, accepted_B = slots.table, accepted.path_BT, accepted.accepted_B
    depth_T = torch.arange(path_BT.shape[1], device=path_BT.device)
    from_BT = tokens.place_BN[:, : tokens.shape.states].gather(1, path_BT)
    off_BT = (depth_T > 0) & (depth_T <= accepted_B[:, None]) & (from_BT >= table.scratch(torch.zeros_like(depth_T)))
    to_BT = table.reference(slots.done_S[:, None] - 1 + depth_T)
    return torch.where(off_BT, from_BT, table.nowhere), torch.where(off_BT, to_BT, table.nowhere)


@dataclass
class Lead:
    """The tokens before the queries."""

    ids: Tensor
    position: Tensor
    place: Tensor
    valid: Tensor
    rank: Tensor
    limit: Tensor
    seen: Tensor


@dataclass
class Sight:
    """What each state of a tree sees [B, X]: references ranked below limit, nodes off the stem by their bits in seen."""

    stem_BX: Tensor
    limit_BX: Tensor
    seen_BX: Tensor


def sight_of(slots: PassSlots, shape: RoundShape, tree: Tree) -> Sight:
    stem_BX = stem(tree)
    followed_BX = along(tree, torch.where(stem_BX, tree.depth_BX, 0), torch.maximum)
    seen_BX = torch.zeros_like(followed_BX)
    if shape.off_stem:
        seen_BX = path_bits(tree, tree.there_BW & ~stem_BX[:, 1:])
    return Sight(stem_BX, slots.done_S[:, None] + followed_BX, seen_BX)


def with_queries(
    slots: PassSlots, shape: RoundShape, tree: Tree, lead: Lead, sight: Sight, start_BG: Tensor, mask_id: int
) -> PassTokens:
    device = slots.done_S.device
    state_BQ = states_of_queries(start_BG, shape)
    behind_Q = torch.arange(shape.queries - shape.states, device=device) % max(shape.depth - 1, 1) + 1
    behind_Q = torch.nn.functional.pad(behind_Q, (shape.states, 0))
    rank_BQ = slots.done_S[:, None] + tree.depth_BX.gather(1, state_BQ) + behind_Q
    there_BQ = tree.there_BX.gather(1, state_BQ)
    there_BQ[:, shape.states :] &= (start_BG >= 0).repeat_interleave(shape.depth - 1, dim=1)
    valid_BQ = there_BQ & (rank_BQ < slots.open_S[:, None])
    valid_BN = torch.cat([lead.valid, valid_BQ], 1) & slots.live_S[:, None]
    scratch_BQ = slots.table.scratch(torch.arange(shape.queries, device=device)).expand_as(rank_BQ)
    limit_BN = torch.cat([lead.limit, sight.limit_BX.gather(1, state_BQ)], 1)
    group_BN = torch.cat([torch.full_like(lead.rank, NO_GROUP), state_BQ], 1)
    seen_BN = torch.cat([lead.seen, sight.seen_BX.gather(1, state_BQ)], 1)
    return PassTokens(
        ids_BN=torch.cat([lead.ids, torch.full_like(rank_BQ, mask_id)], 1),
        position_BN=torch.cat([lead.position, slots.positions(rank_BQ)], 1),
        place_BN=torch.where(valid_BN, torch.cat([lead.place, scratch_BQ], 1), slots.table.nowhere),
        valid_BN=valid_BN,
        rank_BN=torch.cat([lead.rank, rank_BQ], 1),
        limit_BN=torch.where(valid_BN, limit_BN, 0),
        group_BN=torch.where(valid_BN, group_BN, NO_GROUP),
        seen_BN=torch.where(valid_BN, seen_BN, 0),
        tree=tree,
        start_BG=start_BG,
        shape=shape,
    )
