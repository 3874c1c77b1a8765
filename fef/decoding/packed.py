"""The packed scorer: verification in one small pass over exact caches, for networks trained for the packed pattern.

Shapes: as in `score`; R references.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.network import Network
from fef.decoding.requests import Requests
from fef.decoding.score import Prediction, PredictionRequest, Targets, VerificationRequest, row_lengths
from fef.models.packed import REVEALED, PackedSession

__all__ = ["PackedScorer"]


class PackedScorer:
    """Verification in one packed pass. Committed tokens become cached references.

    The last committed token of a round (a correction or a bonus) was no reference of that round's pass; it waits in
    `waiting` and leads the references of the next one.
    """

    def __init__(self, network: Network, count: int, device: torch.device) -> None:
        assert network.packed is not None, "the plan refuses packed verification of other networks"
        self.model = network.packed
        self.session: PackedSession | None = None
        self.waiting_B1 = torch.full((count, 1), -1, device=device)

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Tensor | None:
        canvas = requests.canvas.select(rows)
        rank_RL = torch.where(canvas.pending_BL, dense_rank(canvas), REVEALED)
        began = PackedSession(self.model, canvas.ids_BL, rank_RL, slots_RS, canvas.lengths_B)
        count = len(self.waiting_B1)
        if len(rows) == count:
            self.session = began
        elif self.session is None:
            began.spread(rows, count)
            self.session = began
        else:
            self.session.put(rows, began)
        self.waiting_B1[rows] = -1
        zero_B, tokens_R = torch.zeros_like(self.waiting_B1[:, 0]), row_lengths(canvas) + (slots_RS >= 0).sum(1)
        requests.meter.pass_(zero_B.index_fill(0, rows, 1), zero_B.index_copy(0, rows, tokens_R))
        return began.first_logits_BDV

    @property
    def passes(self) -> PackedSession:
        assert self.session is not None, "a pass begins before it is asked anything"
        return self.session

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        assert look.suspects_BC is None and not look.hidden, "no preset asks for this under the packed law"
        slots_BS = look.slots_BS
        asked_B1 = (slots_BS >= 0).any(1, keepdim=True)
        references_B1 = torch.where(asked_B1, self.waiting_B1, -1)
        _, logits_BGSV = self.extend(requests, references_B1, slots_BS[:, :0], slots_BS[:, None])
        self.passes.absorb(asked_B1[:, 0].long())
        self.waiting_B1 = torch.where(asked_B1, -1, self.waiting_B1)
        return Prediction(logits_BGSV[:, 0])

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets:
        """References for the waiting token and the drafts, targets at the drafts, and draft groups: one behind the drafts,
        whose first member is the bonus target (it sees every draft and nothing else of its group), and one at each
        anchor."""
        width = ask.draft_BW.shape[1]
        place_W = torch.arange(width, device=ask.slots_BS.device)
        window_BW = ask.slots_BS[:, :width].masked_fill(place_W >= ask.width_B[:, None], -1)
        asked_BW = window_BW
        if ask.known_B is not None:
            asked_BW = window_BW.masked_fill(ask.known_B[:, None] & (place_W == 0), -1)
        bonus = ask.count > width
        behind_B1 = ask.width_B[:, None]
        anchor_BG = behind_B1 if ask.anchor_BG is None else torch.cat([behind_B1, ask.anchor_BG], 1)
        group_BGD = group_slots(ask.slots_BS, anchor_BG, max(int(bonus), ask.ahead + 1 if ask.ahead else 0))
        references_BR = torch.cat([self.waiting_B1, window_BW], 1)
        target_BTV, ahead_BGDV = self.extend(requests, references_BR, asked_BW, group_BGD, ask.draft_BW)
        if bonus:
            place_B11 = ask.width_B[:, None, None].expand(-1, 1, target_BTV.shape[-1])
            target_BTV = torch.nn.functional.pad(target_BTV, (0, 0, 0, 1)).scatter(1, place_B11, ahead_BGDV[:, 0, :1])
        return Targets(target_BTV, ahead_BGDV, anchor_BG) if ask.ahead else Targets(target_BTV)

    def extend(
        self,
        requests: Requests,
        references_BR: Tensor,
        targets_BT: Tensor,
        drafts_BGD: Tensor,
        draft_BW: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One pass: logits of the targets [B, T, V] and of the draft groups [B, G, D, V]."""
        ids_BR = requests.canvas.ids_BL.gather(1, references_BR.clamp(min=0))
        if draft_BW is not None:
            ids_BR = torch.cat([ids_BR[:, :1], draft_BW], 1)
        drafts_BN = drafts_BGD.flatten(1)
        first_BN = drafts_BGD[:, :, :1].clamp(min=0).expand_as(drafts_BGD).flatten(1)
        limit_BN = self.passes.rank_BL.gather(1, first_BN)
        target_BTV, draft_BNV = self.passes.extend(references_BR, ids_BR, targets_BT, drafts_BN, limit_BN)
        queries_B = (targets_BT >= 0).sum(1) + (drafts_BN >= 0).sum(1)
        busy_B = (queries_B > 0).long()
        requests.meter.pass_(busy_B, busy_B * ((references_BR >= 0).sum(1) + queries_B))
        return target_BTV, draft_BNV.view(*drafts_BGD.shape, draft_BNV.shape[-1])

    def committed(self, slots_BS: Tensor, accepted_B: Tensor, commit_B: Tensor) -> None:
        cached_B = torch.zeros_like(accepted_B)  # committed tokens that were references of a pass of this round
        if self.passes.new_references is not None:
            self.passes.absorb(accepted_B + 1)
            cached_B = accepted_B
        last_B1 = (commit_B - 1).clamp(min=0)[:, None]
        extra_B1 = (commit_B > cached_B)[:, None]
        self.waiting_B1 = torch.where(extra_B1, slots_BS.gather(1, last_B1), -1)

    def grow(self, count: int) -> None:
        before = len(self.waiting_B1)
        self.waiting_B1 = torch.nn.functional.pad(self.waiting_B1, (0, 0, 0, count), value=-1)
        if self.session is not None:
            self.session.spread(torch.arange(before, device=self.waiting_B1.device), before + count)

    def select(self, rows: Tensor) -> None:
        self.waiting_B1 = self.waiting_B1[rows]
        if self.session is not None:
            self.session.select(rows)


def group_slots(slots_BS: Tensor, anchor_BG: Tensor, depth: int) -> Tensor:
    """Slots [B, G, D] of draft groups that start at window places `anchor_BG` (-1: an absent group)."""
    place_BGD = anchor_BG[..., None] + torch.arange(depth, device=slots_BS.device)
    outside_BGD = (anchor_BG[..., None] < 0) | (place_BGD >= slots_BS.shape[1])
    flat_BN = place_BGD.clamp(0, slots_BS.shape[1] - 1).flatten(1)
    return slots_BS.gather(1, flat_BN).view(place_BGD.shape).masked_fill(outside_BGD, -1)


def dense_rank(canvas: Canvas) -> Tensor:
    """Pending slots numbered 0, 1, .. in decoding order; the packed pattern counts in places."""
    last = torch.iinfo(torch.int64).max
    order_BL = torch.where(canvas.pending_BL, canvas.rank_BL, last).argsort(dim=1, stable=True)
    place_L = torch.arange(order_BL.shape[1], device=order_BL.device)
    return torch.empty_like(order_BL).scatter_(1, order_BL, place_L.expand_as(order_BL))
