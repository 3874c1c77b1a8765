"""After a pass: which drafts hold, what is committed, and what the next round drafts. Coupled acceptance (`fef.laws.accept`).

Shapes: as in `rounds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.slots import SlotState
from fef.laws.accept import agreement
from fef.laws.eos import at_position, bounds, bounds_before
from fef.laws.window import next_drafts
from fef.models.packed_pass import PassTokens

__all__ = ["CHANGED", "Drawn", "EndRules", "advance", "end_rules"]

CHANGED = (
    "ids_SL",
    "done_S",
    "live_S",
    "bad_S",
    "draft_SK",
    "drafted_S",
    "holds_SK",
    "first_end_S",
    "last_other_S",
    "logprob_SR",
    "confidence_SR",
    "counters_SC",
)
"""The tensors of `SlotState` that a pass changes."""


@dataclass
class Drawn:
    """What was drawn at each query, [B, Q]: the token, its log p under the sampled law and under the plain one (nats), the
    largest probability of the plain law, and whether the logits were valid."""

    token: Tensor
    logp: Tensor
    plain: Tensor
    top: Tensor
    valid: Tensor


@dataclass
class EndRules:
    """ "After EOS comes EOS" at each query, [B, Q]: where the end token is certain, and where it is impossible."""

    forced: Tensor
    forbidden: Tensor


def end_rules(state: SlotState, tokens: PassTokens, eos_id: int | None) -> EndRules | None:
    """Read off the committed tokens and the drafts that a query sees (`fef.laws.eos`)."""
    if eos_id is None:
        return None
    shape = tokens.shape
    window = shape.window
    position_BQ = tokens.position_BN[:, -shape.queries :]
    at_BW = position_BQ[:, :window]
    real_BW = torch.arange(window, device=at_BW.device) < tokens.width_B[:, None]
    first_BX, last_BX = bounds_before(
        state.first_end_S, state.last_other_S, at_BW, state.draft_SK[:, :window], real_BW, eos_id
    )
    seen_BG = tokens.start_BG.clamp(min=0)[..., None].expand(-1, -1, shape.depth).flatten(1)
    place_W = torch.arange(window, device=seen_BG.device).expand(len(seen_BG), -1)
    seen_BQ = torch.cat([place_W, seen_BG], 1)
    return EndRules(*at_position(position_BQ, first_BX.gather(1, seen_BQ), last_BX.gather(1, seen_BQ)))


def advance(state: SlotState, tokens: PassTokens, drawn: Drawn, eos_id: int | None) -> None:
    """Move these rows on, in place; they are a copy of the slots (`SlotState.take`)."""
    shape, width_B, live_B = tokens.shape, tokens.width_B, state.live_S
    left_B = torch.where(live_B, state.open_S - state.done_S, 0)
    targets_B = width_B + (left_B > width_B)
    token_BX = targets_of(drawn.token, shape.window, width_B)
    accepted = agreement(token_BX, state.draft_SK[:, : shape.window], width_B, targets_B)
    accepted_B, commit_B = accepted.accepted_B, accepted.commit_B
    write(state, tokens, drawn, token_BX, commit_B, eos_id)
    state.bad_S = state.bad_S | (~drawn.valid & tokens.valid_BN[:, -shape.queries :]).any(1)
    state.live_S = live_B & something_left(state, eos_id) & ~state.bad_S
    keep_drafts(state, tokens, drawn, accepted_B, commit_B)
    counts = (live_B.long(), tokens.valid_BN.sum(1), (width_B > 0).long(), width_B, accepted_B)
    state.counters_SC = state.counters_SC + torch.stack(counts, 1)


def targets_of(drawn_BQ: Tensor, window: int, width_B: Tensor) -> Tensor:
    """The draws [B, X] at the slots from `done` on: of the targets, and of the bonus target behind the window."""
    bonus_B1 = drawn_BQ[:, window : window + 1]
    place_X = torch.arange(window + 1, device=drawn_BQ.device)
    return torch.where(place_X == width_B[:, None], bonus_B1, drawn_BQ[:, : window + 1])


def write(
    state: SlotState, tokens: PassTokens, drawn: Drawn, token_BX: Tensor, commit_B: Tensor, eos_id: int | None
) -> None:
    """Commit the first `commit_B` targets."""
    window, width_B = tokens.shape.window, tokens.width_B
    place_X = torch.arange(window + 1, device=commit_B.device)
    take_BX = place_X < commit_B[:, None]
    rank_BX = state.done_S[:, None] + place_X
    at_BX = state.positions(rank_BX)
    state.ids_SL = state.ids_SL.scatter(1, torch.where(take_BX, at_BX, state.table.context), token_BX)
    column_BX = torch.where(take_BX, rank_BX, state.table.ranks)
    state.logprob_SR = state.logprob_SR.scatter(1, column_BX, targets_of(drawn.logp, window, width_B))
    state.confidence_SR = state.confidence_SR.scatter(1, column_BX, targets_of(drawn.plain, window, width_B))
    state.done_S = state.done_S + commit_B
    if eos_id is not None:
        state.first_end_S, state.last_other_S = bounds(
            state.first_end_S, state.last_other_S, at_BX, token_BX, take_BX, eos_id
        )


def something_left(state: SlotState, eos_id: int | None) -> Tensor:
    """Rows with a slot to draw whose token is not certain already."""
    if eos_id is None:
        return state.done_S < state.open_S
    rank_R = torch.arange(state.table.ranks, device=state.done_S.device)
    pending_SR = (rank_R >= state.done_S[:, None]) & (rank_R < state.open_S[:, None])
    return (pending_SR & (state.order_SR < state.first_end_S[:, None])).any(1)


def keep_drafts(state: SlotState, tokens: PassTokens, drawn: Drawn, accepted_B: Tensor, commit_B: Tensor) -> None:
    """Drafts for the slots behind the committed ones."""
    shape, table = tokens.shape, state.table
    source_BK, count_B = next_drafts(
        tokens.start_BG, shape.depth, shape.window, tokens.width_B, accepted_B, commit_B, table.drafts
    )
    state.draft_SK = drawn.token.gather(1, source_BK)
    state.holds_SK = drawn.top.gather(1, source_BK)
    state.drafted_S = torch.minimum(count_B, (state.open_S - state.done_S).clamp(min=0))
