"""Drafts of a draft head in packed rounds: from the hidden states of the queries that the next drafts stand at, to a tree.

All of it in tensors of fixed shape, without waiting for the device, so that a CUDA graph can hold it. No text depends on it.

Shapes: as in `rounds`; V, D as in `fef.models.transformer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.draws import Vocabulary
from fef.engine.slots import SlotState
from fef.laws.draws import Purpose, gumbels_at
from fef.laws.eos import at_position
from fef.laws.growth import Drafted
from fef.laws.pipeline import EntrySettings
from fef.models.draft_head import DraftHead, DraftWindow
from fef.models.draft_tree import DraftStart, draft_candidates, draft_tree
from fef.models.transformer import Transformer

__all__ = ["DraftSites", "HeadDrafts", "draft_noise", "draft_sites", "draft_start"]


@dataclass(frozen=True)
class DraftSites:
    """The slots behind what is committed, of each row. position_BK: on the canvas. forced_BK, forbidden_BK: the end token is
    certain, or impossible, there, as far as committed tokens say. before_B, last_B: the two tokens before. limit_B: slots
    that may have drafts. The others: of the request."""

    position_BK: Tensor
    forced_BK: Tensor
    forbidden_BK: Tensor
    before_B: Tensor
    last_B: Tensor
    limit_B: Tensor
    seed_B: Tensor
    step_B: Tensor
    temperature_B: Tensor
    top_p_B: Tensor
    top_k_B: Tensor


def draft_sites(state: SlotState, slot_B: Tensor, count_B: Tensor) -> DraftSites:
    """Of these slots of a state, as many as a draft head drafts. count_B: slots that the last pass has drafts for."""
    done_B, open_B, live_B = state.done_S[slot_B], state.open_S[slot_B], state.live_S[slot_B]
    K, R = state.table.grown, state.table.ranks
    order_BR, ids_BL = state.order_SR[slot_B], state.ids_SL[slot_B]
    rank_BK = done_B[:, None] + torch.arange(K, device=slot_B.device)
    position_BK = order_BR.gather(1, rank_BK.clamp(max=R - 1))
    last_at_B1 = order_BR.gather(1, (done_B[:, None] - 1).clamp(0, R - 1))
    forced_BK, forbidden_BK = at_position(
        position_BK, state.first_end_S[slot_B, None], state.last_other_S[slot_B, None]
    )
    return DraftSites(
        position_BK,
        forced_BK,
        forbidden_BK,
        before_B=ids_BL.gather(1, (last_at_B1 - 1).clamp(min=0))[:, 0],
        last_B=ids_BL.gather(1, last_at_B1)[:, 0],
        limit_B=torch.where(live_B, torch.minimum(count_B, open_B - done_B), 0),
        seed_B=state.seed_S[slot_B],
        step_B=state.step_S[slot_B],
        temperature_B=state.temperature_S[slot_B],
        top_p_B=state.top_p_S[slot_B],
        top_k_B=state.top_k_S[slot_B],
    )


def draft_noise(sites: DraftSites, ids_BKC: Tensor) -> Tensor:
    """Gumbel numbers with which the slots will be drawn, at these tokens; 0 in greedy rows."""
    noise_BKC = gumbels_at(
        ids_BKC,
        sites.seed_B,
        sites.position_BK,
        step_B=sites.step_B,
        attempt_B=torch.zeros_like(sites.step_B),
        purpose=Purpose.TOKEN,
    )
    return torch.where(sites.temperature_B[:, None, None] > 0, noise_BKC, 0.0)


def draft_start(sites: DraftSites, window: DraftWindow, noise_BKC: Tensor, *, cut: bool) -> DraftStart:
    """What trees grow from. noise_BKC: of `draft_noise`. cut: may a row have top-p or top-k on?"""
    return DraftStart(
        window,
        sites.before_B,
        sites.last_B,
        sites.limit_B,
        noise_BKC,
        settings=EntrySettings(sites.temperature_B, sites.top_p_B, sites.top_k_B),
        cuts=cut,
    )


@dataclass(frozen=True)
class HeadDrafts:
    """Grows the trees of `nodes` nodes. branching, survival: see `fef.models.draft_tree.draft_tree`."""

    network: Transformer
    head: DraftHead
    vocabulary: Vocabulary
    nodes: int
    branching: int
    survival: float

    def window(self, sites: DraftSites, hidden_BKD: Tensor, lead_BD: Tensor, logits_BKV: Tensor) -> DraftWindow:
        """hidden_BKD, logits_BKV: of the queries at which drafts of these slots stand. lead_BD: of that whose draw is the
        last committed token."""
        return self.head.window(hidden_BKD, lead_BD, *self.candidates(sites, logits_BKV))

    def candidates(self, sites: DraftSites, logits_BKV: Tensor) -> tuple[Tensor, Tensor]:
        """Ids and marginal logits [B, K, C] of the candidates of the slots."""
        eos_id = self.vocabulary.eos_id
        marginal_BKV = logits_BKV.to(torch.promote_types(logits_BKV.dtype, torch.float32))
        marginal_BKV = marginal_BKV.index_fill(-1, self.vocabulary.banned, -torch.inf)
        forced_BK = None
        if eos_id is not None:
            forced_BK = sites.forced_BK
            marginal_BKV[..., eos_id].masked_fill_(sites.forbidden_BK, -torch.inf)
        return draft_candidates(self.head, marginal_BKV, forced_BK, eos_id)

    def tree(self, sites: DraftSites, window: DraftWindow, noise_BKC: Tensor, *, cut: bool) -> Drafted:
        """noise_BKC: of `draft_noise`. cut: may a row have top-p or top-k on?"""
        start = draft_start(sites, window, noise_BKC, cut=cut)
        return draft_tree(self.network, self.head, start, self.nodes, self.branching, self.survival)
