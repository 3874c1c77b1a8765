"""What a round of the engine verifies and drafts: its tokens as a function of the state of the slots.

Shapes: B rows, K depths whose drafts are kept between rounds, C candidates of a depth, W nodes, X = W + 1 states, G groups.
"""

from __future__ import annotations

import torch

from fef.engine.slots import SlotState
from fef.laws.growth import Drafted, best_tree
from fef.laws.window import group_starts, least_chance
from fef.models.packed_pass import PassTokens, RoundShape, context_pass, round_pass

__all__ = ["compose_context", "compose_round"]


def compose_round(state: SlotState, shape: RoundShape, mask_id: int) -> PassTokens:
    """The tokens of a round of these rows."""
    drafted = state.tree_kept(shape) if shape.head else tree_of_candidates(state, shape)
    ids_BX = torch.cat([state.ids_at(state.done_S[:, None] - 1), drafted.token_BW], 1)
    start_BG = group_starts(drafted.tree, shape.anchors)
    return round_pass(state, shape, drafted.tree, ids_BX, state.done_S > 0, start_BG, mask_id)


def tree_of_candidates(state: SlotState, shape: RoundShape) -> Drafted:
    """Of the marginals that the round before left."""
    left_B = torch.where(state.live_S, state.open_S - state.done_S, 0)
    draft_BKC, holds_BKC = (x[:, : shape.deepest, : shape.branching] for x in (state.draft_SKC, state.holds_SKC))
    limit_B = torch.minimum(state.drafted_S, left_B)
    tree = best_tree(holds_BKC, limit_B, shape.window, least_chance(shape.branching))
    return Drafted(tree, tree.tokens(draft_BKC))


def compose_context(state: SlotState, shape: RoundShape, length: int, mask_id: int) -> PassTokens:
    """The first `length` places of the canvas, and the first draft group of `shape.depth` slots."""
    return context_pass(state, shape, state.ids_SL[:, :length], mask_id)
