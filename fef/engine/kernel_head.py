"""Drafts of a draft head in kernels: what `HeadDrafts.tree` makes in plain torch, into the state of the slots.

Shapes: as in `fef.engine.kernels.head`, and the others as in `growth`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.engine.head_drafts import DraftSites, HeadDrafts, draft_start
from fef.engine.kernel_forward import BEHIND_PRODUCT, KernelForward
from fef.engine.kernels import growth, slots_ahead
from fef.engine.kernels import head as kernels
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.linear import linear
from fef.engine.slots import SlotState
from fef.models.draft_head import DraftWindow
from fef.models.draft_tree import FRONTIER, DraftStart, draft_children
from fef.models.joined import Matrix

__all__ = ["KernelHead"]


class KernelHead:
    """forward: of the network, whose products it shares."""

    def __init__(self, drafts: HeadDrafts, forward: KernelForward, state: SlotState) -> None:
        self.drafts, self.forward, self.state = drafts, forward, state
        head = drafts.head
        self.known_WX = torch.cat([head.hidden.weight, head.lead.weight], 1).contiguous()
        self.before_WX = Matrix(torch.cat([head.last.weight, head.second_last.weight], 1).contiguous())
        self.qkv_XW = Matrix(torch.cat([head.q.weight, head.k.weight, head.v.weight]).contiguous())
        self.out, self.gate_up, self.down = (Matrix(part.weight) for part in (head.out, head.gate_up, head.down))
        self.widen = None if head.widen is None else Matrix(head.widen.weight)
        self.depth_NW = head.depth[: state.table.grown].repeat(state.table.slots, 1)
        self.embed_VD = drafts.network.embed.weight.detach()
        self.output_VD = drafts.network.head_weight.detach()
        self.banned_V = drafts.vocabulary.banned_mask(len(self.output_VD))

    def grow(self, slot_B: Tensor, hidden_BQD: Tensor, logits_BKV: Tensor, next_drafts: NextDrafts, cut: bool) -> None:
        """The trees of the next round, into the state. hidden_BQD: of the queries of a pass. logits_BKV: of those at which
        drafts of the next slots stand. cut: may a row have top-p or top-k on?"""
        overlap = self.forward.overlap
        sites = slots_ahead.draft_sites(self.state, slot_B, next_drafts.count_B, overlap=overlap)
        known_BKW = self.known(hidden_BQD, next_drafts)
        ids_BKC, logits_BKC, noise_BKC = self.candidates(sites, logits_BKV)
        window = DraftWindow(known_BKW, ids_BKC, logits_BKC)
        growth.best(self.state, slot_B, self.found(sites, window, noise_BKC, cut), overlap=overlap)

    def candidates(self, sites: DraftSites, logits_BKV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, marginal logits and noise: `HeadDrafts.candidates` and `head_drafts.draft_noise`."""
        drafts, eos_id = self.drafts, self.drafts.vocabulary.eos_id
        marginal_BKV = logits_BKV.masked_fill(self.banned_V, -torch.inf)
        if eos_id is not None:
            marginal_BKV[..., eos_id].masked_fill_(sites.forbidden_BK, -torch.inf)
        count = min(drafts.head.sizes.candidates, marginal_BKV.shape[-1])
        _, found_BKC = marginal_BKV.topk(count, dim=-1, sorted=False)
        return slots_ahead.candidates(sites, found_BKC, marginal_BKV, eos_id, overlap=self.forward.overlap)

    def known(self, hidden_BQD: Tensor, next_drafts: NextDrafts) -> Tensor:
        """`DraftHead.window`, in a product whose bits do not depend on the other rows."""
        slots, overlap = self.state.table.grown, self.forward.overlap
        pair_NX = slots_ahead.sources(hidden_BQD, next_drafts, slots, overlap=overlap)
        known_NW = linear(
            pair_NX,
            self.known_WX,
            residual_NM=self.depth_NW[: len(pair_NX)],
            overlap=overlap,
            ahead=BEHIND_PRODUCT,
        )
        return known_NW.view(len(hidden_BQD), slots, -1)

    def found(self, sites: DraftSites, window: DraftWindow, noise_BKC: Tensor, cut: bool) -> growth.Frontiers:
        """The nodes of all depths: `fef.laws.growth.grow`."""
        drafts, sizes, overlap = self.drafts, self.drafts.head.sizes, self.forward.overlap
        B, K, _ = window.ids_BKC.shape
        most = 1 if drafts.branching == 1 else min(FRONTIER, drafts.nodes)
        steps = growth.steps(min(K, drafts.nodes), drafts.nodes, most, drafts.branching)
        found = steps[-1].start + steps[-1].keep
        frontiers = growth.Frontiers.empty(len(steps), B, most, found, window.ids_BKC.device)
        start = draft_start(sites, window, noise_BKC, cut=cut)
        kept_TNX = window.known_BKW.new_empty(len(steps), B * most, 2 * sizes.kv_heads * sizes.head_size)
        for step in steps:
            change_ND = self.change(window, sites, frontiers, kept_TNX, step.depth, step.states)
            part_PNC = kernels.corrections(
                change_ND, self.output_VD, window.ids_BKC, step.depth, step.states, overlap=overlap
            )
            chance_NC, token_NC = growth.children(
                part_PNC, window, noise_BKC, sites, step, drafts.branching, overlap=overlap
            )
            if cut:
                chance_NC, token_NC = with_cuts(chance_NC, token_NC, part_PNC, sites, start, step)
            growth.frontier(chance_NC, token_NC, sites, frontiers, step, drafts.survival, overlap=overlap)
        return frontiers

    def change(
        self,
        window: DraftWindow,
        sites: DraftSites,
        frontiers: growth.Frontiers,
        kept_TNX: Tensor,
        depth: int,
        states: int,
    ) -> Tensor:
        """What a step adds to the hidden states of its states [N, D]: `DraftHead.block`."""
        head, forward, sizes = self.drafts.head, self.forward, self.drafts.head.sizes
        overlap, ahead = forward.overlap, BEHIND_PRODUCT
        pair_NX, known_NW = kernels.pair(
            self.embed_VD, window.known_BKW, sites, frontiers, depth, states, overlap=overlap
        )
        x_NW, normed_NW = forward.add_and_norm(pair_NX, self.before_WX, known_NW, head.attn_norm, 0, ahead=ahead)
        qkv_NX = forward.product(normed_NW, self.qkv_XW, 0)
        mixed_NX = kernels.path(
            qkv_NX, kept_TNX, frontiers, depth, states, heads=sizes.heads, kv_heads=sizes.kv_heads, overlap=overlap
        )
        x_NW, normed_NW = forward.add_and_norm(mixed_NX, self.out, x_NW, head.mlp_norm, 0, ahead=ahead)
        gated_NM = forward.gated(normed_NW, self.gate_up, 0)
        _, change_NW = forward.add_and_norm(gated_NM, self.down, x_NW, head.out_norm, 0, ahead=ahead)
        return change_NW if self.widen is None else forward.product(change_NW, self.widen, 0)


def with_cuts(
    chance_NC: Tensor, token_NC: Tensor, part_PNC: Tensor, sites: DraftSites, start: DraftStart, step: growth.Step
) -> tuple[Tensor, Tensor]:
    """`growth.children`, but those of rows with top-p or top-k, whose laws are cut in plain torch. The others stay as they
    are to the last bit, since a tree must not depend on the rows beside it."""
    cut_B = (sites.temperature_B > 0) & ((sites.top_p_B < 1) | (sites.top_k_B > 0))
    cut_N1 = cut_B.repeat_interleave(step.states)[:, None]
    logits_BFC = start.window.logits_BKC[:, step.depth, None] + part_PNC.sum(0).view(len(cut_B), step.states, -1)
    chance_BFC, token_BFC = draft_children(logits_BFC, start, step.depth, chance_NC.shape[1])
    return (
        torch.where(cut_N1, chance_BFC.flatten(0, 1), chance_NC),
        torch.where(cut_N1, token_BFC.flatten(0, 1), token_NC),
    )
