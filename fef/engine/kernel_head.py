"""Drafts of a draft head in kernels: what `HeadDrafts.grown` makes in plain torch, into the state of the slots.

Shapes: as in `fef.engine.kernels.head` and `growth`; Q queries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.engine.head_drafts import DraftSites, HeadDrafts
from fef.engine.kernel_forward import KernelForward
from fef.engine.kernels import growth
from fef.engine.kernels import head as kernels
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.linear import linear
from fef.engine.kernels.norm import rms_norm
from fef.engine.slots import SlotState
from fef.models.draft_head import DraftWindow, even
from fef.models.draft_tree import FRONTIER
from fef.models.joined import Matrix

__all__ = ["KernelHead"]


class KernelHead:
    """forward: of the network, whose products it shares."""

    def __init__(self, drafts: HeadDrafts, forward: KernelForward, state: SlotState) -> None:
        self.drafts, self.forward, self.state = drafts, forward, state
        head = drafts.head
        self.before_DX = torch.cat([head.last.weight, head.second_last.weight], 1).contiguous()
        self.qkv_XD = torch.cat([head.q.weight, head.k.weight, head.v.weight]).contiguous()
        self.embed_VD = drafts.network.embed.weight.detach()
        self.output_VD = drafts.network.head_weight.detach()

    def grow(self, slot_B: Tensor, hidden_BQD: Tensor, next_drafts: NextDrafts, cut: bool) -> None:
        """The trees of the next round, into the state. hidden_BQD: of the queries of a pass. cut: may a row have top-p or
        top-k on?"""
        sites = kernels.draft_sites(self.state, slot_B, next_drafts.count_B)
        slots, width = sites.position_BK.shape[1], hidden_BQD.shape[2]
        hidden_BKD, lead_B1D = (
            hidden_BQD.gather(1, query_BK[..., None].expand(-1, -1, width))
            for query_BK in (next_drafts.source_BK[:, :slots], next_drafts.last_B[:, None])
        )
        logits_BKV = self.forward.logits(hidden_BKD.view(-1, width)).view(len(slot_B), slots, -1)
        known_BKD = self.known(hidden_BKD, lead_B1D)
        window = DraftWindow(known_BKD, *self.drafts.candidates(sites, logits_BKV))
        noise_BKC = kernels.draft_noise(sites, window.ids_BKC)
        if cut:  # laws are cut in plain torch
            self.state.keep_tree(slot_B, self.drafts.tree(sites, window, noise_BKC, cut=True))
        else:
            growth.best(self.state, slot_B, self.found(sites, window, noise_BKC))

    def known(self, hidden_BKD: Tensor, lead_B1D: Tensor) -> Tensor:
        """`DraftHead.window`, in products whose bits do not depend on the other rows."""
        head, (B, K, D) = self.drafts.head, hidden_BKD.shape
        lead_BD = linear(even(lead_B1D).view(B, D), head.lead.weight)
        before_BKD = lead_BD[:, None] + head.depth[:K]
        known_ND = linear(even(hidden_BKD).view(B * K, D), head.hidden.weight, residual_NM=before_BKD.view(B * K, D))
        return known_ND.view(B, K, D)

    def found(self, sites: DraftSites, window: DraftWindow, noise_BKC: Tensor) -> growth.Frontiers:
        """The nodes of all depths: `fef.laws.growth.grow`."""
        drafts, sizes = self.drafts, self.drafts.head.sizes
        B, K, _ = window.ids_BKC.shape
        most = 1 if drafts.branching == 1 else min(FRONTIER, drafts.nodes)
        depths = min(K, drafts.nodes)
        states, found, shapes = 1, 0, []
        for _ in range(depths):
            keep = min(drafts.nodes, states * drafts.branching)
            shapes.append((states, found, keep))
            states, found = min(most, keep), found + keep
        frontiers = growth.Frontiers.empty(depths, B, most, found, window.ids_BKC.device)
        frontiers.reached_TBF[0].fill_(1.0)
        frontiers.number_TBF[0].zero_()
        frontiers.token_TBF[0].copy_(sites.last_B[:, None])
        kept_TNX = window.known_BKD.new_empty(depths, B * most, 2 * sizes.kv_heads * sizes.head_size)
        for depth, (states, start, keep) in enumerate(shapes):
            change_ND = self.change(window, sites, frontiers, kept_TNX, depth, states)
            correction_NC = kernels.corrections(change_ND, self.output_VD, window.ids_BKC, depth, states)
            chance_NC, token_NC = growth.children(
                correction_NC, window.logits_BKC, window.ids_BKC, noise_BKC, sites.temperature_B, depth, states,
                drafts.branching,
            )  # fmt: skip
            growth.frontier(
                chance_NC, token_NC, sites.limit_B, frontiers, depth, states, start, keep, min(most, keep),
                drafts.survival,
            )  # fmt: skip
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
        overlap = forward.overlap
        pair_NX, known_ND = kernels.pair(self.embed_VD, window.known_BKD, sites.before_B, frontiers, depth, states)
        x_ND = linear(pair_NX, self.before_DX, residual_NM=known_ND, overlap=overlap)
        normed_ND = rms_norm(x_ND, head.attn_norm.weight, head.attn_norm.eps, overlap=overlap)
        qkv_NX = linear(normed_ND, self.qkv_XD, overlap=overlap)
        mixed_NX = kernels.path(qkv_NX, kept_TNX, frontiers, depth, states, heads=sizes.heads, kv_heads=sizes.kv_heads)
        x_ND, normed_ND = forward.add_and_norm(mixed_NX, Matrix(head.out.weight), x_ND, head.mlp_norm, 0, ahead=0)
        gated_NM = forward.gated(normed_ND, Matrix(head.gate_up.weight), 0)
        _, change_ND = forward.add_and_norm(gated_NM, Matrix(head.down.weight), x_ND, head.out_norm, 0, ahead=0)
        return change_ND
