"""After a pass: which drafts hold, what is committed, and what the next round drafts. Coupled acceptance (`fef.laws.accept`).

Shapes: as in `rounds`; Q queries, T places of a path.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.slots import SlotState
from fef.laws.accept import Accepted, agreement
from fef.laws.eos import at_position, bounds, bounds_on_paths
from fef.laws.tree import ABSENT
from fef.laws.window import next_drafts
from fef.models.packed_pass import PassTokens, moves, states_of_queries

__all__ = ["CHANGED", "Advanced", "Drawn", "EndRules", "Moves", "advance", "end_rules"]

CHANGED = (
    "ids_SL",
    "done_S",
    "live_S",
    "bad_S",
    "draft_SKC",
    "drafted_S",
    "holds_SKC",
    "first_end_S",
    "last_other_S",
    "logprob_SR",
    "confidence_SR",
    "log_mass_S",
    "counters_SC",
    "node_parent_SW",
    "node_candidate_SW",
    "node_depth_SW",
    "node_token_SW",
    "node_chance_SW",
)
"""The tensors of `SlotState` that a pass changes."""


@dataclass
class Drawn:
    """What was drawn at each query, or at each state, [B, Q]: the token, its log p under the sampled law and under the plain
    one (nats), and whether the logits were valid. draft, holds: what a draft there may be, and the chance of each
    (`fef.laws.tree.chances`), [B, Q, C]; the first is the token. free: of kernels, where there are grammars,
    log p of the token under the sampled law without them."""

    token: Tensor
    logp: Tensor
    plain: Tensor
    draft: Tensor
    holds: Tensor
    valid: Tensor
    free: Tensor | None = None


@dataclass
class EndRules:
    """ "After EOS comes EOS" at each query, [B, Q]: where the end token is certain, and where it is impossible."""

    forced: Tensor
    forbidden: Tensor


Moves = tuple[Tensor, Tensor]
"""Cache places from which and to which keys go: `fef.models.packed_pass.moves`."""


@dataclass
class Advanced:
    """What is left to do. accepted: the path that held, and what was committed. moved: where keys of the path have to go.
    source_BK, count_B: queries at which drafts for the next slots stand, and how many there are
    (`fef.laws.window.next_drafts`). last_B: the query whose draw is the last committed token."""

    accepted: Accepted
    moved: Moves
    source_BK: Tensor
    count_B: Tensor
    last_B: Tensor


def end_rules(state: SlotState, tokens: PassTokens, eos_id: int | None) -> EndRules | None:
    """Read off the committed tokens and the nodes that a query sees (`fef.laws.eos`)."""
    if eos_id is None:
        return None
    shape = tokens.shape
    token_BW, at_BW = (x[:, 1 : shape.states] for x in (tokens.ids_BN, tokens.position_BN))
    bounds_BX = bounds_on_paths(state.first_end_S, state.last_other_S, at_BW, token_BW, tokens.tree, eos_id)
    state_BQ = states_of_queries(tokens.start_BG, shape)
    first_BQ, last_BQ = (bound_BX.gather(1, state_BQ) for bound_BX in bounds_BX)
    return EndRules(*at_position(tokens.position_BN[:, -shape.queries :], first_BQ, last_BQ))


def advance(state: SlotState, tokens: PassTokens, drawn: Drawn, eos_id: int | None) -> Advanced:
    """Move these rows on, in place; they are a copy of the slots (`SlotState.take`)."""
    tree, states, live_B = tokens.tree, tokens.shape.states, state.live_S
    left_B = torch.where(live_B, state.open_S - state.done_S, 0)
    accepted = agreement(drawn.token[:, :states], tree, tokens.ids_BN[:, 1:states], left_B)
    moved = moves(state, tokens, accepted)
    write(state, drawn, accepted, eos_id)
    wanted_BQ = tokens.valid_BN[:, -tokens.shape.queries :][:, : drawn.valid.shape[1]]
    state.bad_S = state.bad_S | (~drawn.valid & wanted_BQ).any(1)
    state.live_S = live_B & something_left(state, eos_id) & ~state.bad_S
    drafts = next_drafts(tree, tokens.start_BG, tokens.shape.depth, accepted, state.table.drafts)
    # what is drafted in one way is gone behind a pass that drafts in the other
    if tokens.shape.head:
        state.drafted_S = torch.zeros_like(state.drafted_S)
    else:
        keep_drafts(state, drawn, *drafts)
        state.node_chance_SW = torch.full_like(state.node_chance_SW, ABSENT)
    nodes_B = tree.nodes_B
    counts = (live_B.long(), tokens.valid_BN.sum(1), (nodes_B > 0).long(), nodes_B, accepted.accepted_B)
    state.counters_SC = state.counters_SC + torch.stack(counts, 1)
    last_B1 = accepted.path_BT.gather(1, (accepted.commit_B - 1).clamp(min=0)[:, None])
    return Advanced(accepted, moved, *drafts, last_B1[:, 0])


def write(state: SlotState, drawn: Drawn, accepted: Accepted, eos_id: int | None) -> None:
    """Commit the draws along the path."""
    path_BT, commit_B, token_BT = accepted.path_BT, accepted.commit_B, accepted.tokens_BT
    logp_BT, plain_BT = drawn.logp.gather(1, path_BT), drawn.plain.gather(1, path_BT)
    place_T = torch.arange(path_BT.shape[1], device=commit_B.device)
    take_BT = place_T < commit_B[:, None]
    rank_BT = state.done_S[:, None] + place_T
    at_BT = state.positions(rank_BT)
    state.ids_SL = state.ids_SL.scatter(1, torch.where(take_BT, at_BT, state.table.context), token_BT)
    column_BT = torch.where(take_BT, rank_BT, state.table.ranks)
    state.logprob_SR = state.logprob_SR.scatter(1, column_BT, logp_BT)
    state.confidence_SR = state.confidence_SR.scatter(1, column_BT, plain_BT)
    state.done_S = state.done_S + commit_B
    if eos_id is not None:
        state.first_end_S, state.last_other_S = bounds(
            state.first_end_S, state.last_other_S, at_BT, token_BT, take_BT, eos_id
        )


def something_left(state: SlotState, eos_id: int | None) -> Tensor:
    """Rows with a slot to draw whose token is not certain already."""
    if eos_id is None:
        return state.done_S < state.open_S
    rank_R = torch.arange(state.table.ranks, device=state.done_S.device)
    pending_SR = (rank_R >= state.done_S[:, None]) & (rank_R < state.open_S[:, None])
    return (pending_SR & (state.order_SR < state.first_end_S[:, None])).any(1)


def keep_drafts(state: SlotState, drawn: Drawn, source_BK: Tensor, count_B: Tensor) -> None:
    """Drafts for the slots behind the committed ones, of the marginals at these queries."""
    source_BKC = source_BK[..., None].expand(-1, -1, state.table.branching)
    state.draft_SKC = drawn.draft.gather(1, source_BKC)
    state.holds_SKC = drawn.holds.gather(1, source_BKC)
    state.drafted_S = torch.minimum(count_B, (state.open_S - state.done_S).clamp(min=0))
