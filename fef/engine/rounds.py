"""What a round of the engine verifies and drafts: its tokens as a function of the state of the slots.

Shapes: B rows, K drafts kept between rounds, W window, X = W + 1, G groups, A anchors.
"""

from __future__ import annotations

import torch

from fef.engine.slots import SlotState
from fef.laws.window import SURVIVAL, chance_of_runs, likely_ends, worthwhile
from fef.models.packed_pass import PassTokens, RoundShape, context_pass, round_pass

__all__ = ["compose_context", "compose_round"]


def compose_round(state: SlotState, shape: RoundShape, mask_id: int) -> PassTokens:
    """The tokens of a round of these rows."""
    window = shape.window
    left_B = torch.where(state.live_S, state.open_S - state.done_S, 0)
    # a draft holds with about the probability that its own law gave it
    chance_BX = chance_of_runs(state.holds_SK[:, :window])
    width_B = torch.minimum(torch.minimum(state.drafted_S.clamp(max=window), left_B), worthwhile(chance_BX, SURVIVAL))
    start_BG = torch.cat([width_B[:, None], likely_ends(chance_BX, width_B, shape.anchors)], 1)
    ids_BX = torch.cat([state.ids_at(state.done_S[:, None] - 1), state.draft_SK[:, :window]], 1)
    return round_pass(state, shape, ids_BX, state.done_S > 0, width_B, start_BG, mask_id)


def compose_context(state: SlotState, shape: RoundShape, length: int, mask_id: int) -> PassTokens:
    """The first `length` places of the canvas, and the first draft group of `shape.depth` slots."""
    return context_pass(state, shape, state.ids_SL[:, :length], mask_id)
