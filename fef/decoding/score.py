"""Scorers: the only part of the loop that runs the model. Each asks it under one law.

`marginals` gives the factorized prediction at slots (drafts, or the target of the first slot); `targets` gives the law of
each slot given the drafts before it (verification). `RowsScorer` runs one full sequence a prefix state: exact for every
denoiser. `PackedScorer` runs one small pass over exact caches: exact for networks trained for the packed pattern.

Shapes: B rows, L canvas length, W drafts, T targets (W, or W + 1 with a bonus slot), A slots drafted ahead, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.models.packed import REVEALED, PackedSession

__all__ = ["PackedScorer", "RowsScorer", "Scorer", "Targets"]


@dataclass
class Targets:
    """Logits of the targets, and drafts for what may come next that the same pass made.

    ahead_BGDV: draft logits of G groups; a group predicts the slots from window place anchor_BG on, given the canvas and
    the drafts before that place. A round that accepts exactly that many drafts goes on from such a group.
    """

    logits_BTV: Tensor
    ahead_BGDV: Tensor | None = None
    anchor_BG: Tensor | None = None

    def after(self, accepted_B: Tensor, commit_B: Tensor) -> tuple[Tensor, Tensor] | None:
        """Draft logits [B, A, V] for the slots behind the committed ones, and for which rows [B] there are any."""
        if self.ahead_BGDV is None or self.anchor_BG is None:
            return None
        found_BG = self.anchor_BG == accepted_B[:, None]
        group_BDV = self.ahead_BGDV[torch.arange(len(found_BG), device=found_BG.device), found_BG.long().argmax(1)]
        # the slot at the anchor itself is committed when a corrected or bonus token took it
        skip_B11 = (commit_B > accepted_B)[:, None, None]
        return torch.where(skip_B11, group_BDV[:, 1:], group_BDV[:, :-1]), found_BG.any(1)


class Scorer(Protocol):
    """Made for requests `who_B` (their places in the batch that `meter` counts)."""

    network: Network

    def pass_began(self, canvas: Canvas, slots_BS: Tensor, time: float) -> Tensor | None:
        """Open the denoising pass of noise time `time`. May give draft logits for `slots_BS` at no further cost."""
        ...

    def marginals(self, canvas: Canvas, slots_BS: Tensor) -> Tensor: ...

    def targets(
        self,
        canvas: Canvas,
        slots_BS: Tensor,
        draft_BW: Tensor,
        count: int,
        known_B: Tensor | None = None,
        ahead: int = 0,
        anchor_BG: Tensor | None = None,
    ) -> Targets:
        """Targets at the first `count` of `slots_BS`.

        known_B: rows [B] whose first target need not be computed. ahead: slots to draft behind the anchors. anchor_BG:
        window places behind which to draft, if only some can be afforded.
        """
        ...

    def committed(self, canvas: Canvas, slots_BS: Tensor, accepted_B: Tensor, commit_B: Tensor) -> None: ...

    def select(self, rows: Tensor) -> None: ...


class RowsScorer:
    """One batch row a prefix state (methods.md 1.2). Under visible noise, targets get the site likelihood of Lemma 1."""

    def __init__(self, network: Network, meter: Meter, who_B: Tensor) -> None:
        self.network, self.meter, self.who_B = network, meter, who_B
        self.time = 1.0

    def pass_began(self, canvas: Canvas, slots_BS: Tensor, time: float) -> None:
        self.time = time

    def marginals(self, canvas: Canvas, slots_BS: Tensor) -> Tensor:
        return self.score(canvas, canvas.ids_BL[:, None], self.keep_BL(canvas)[:, None], slots_BS[:, None])[:, 0]

    def targets(
        self,
        canvas: Canvas,
        slots_BS: Tensor,
        draft_BW: Tensor,
        count: int,
        known_B: Tensor | None = None,
        ahead: int = 0,
        anchor_BG: Tensor | None = None,
    ) -> Targets:
        prefix_BP, draft_BP = slots_BS[:, : count - 1], draft_BW[:, : count - 1]
        states_BTL = prefix_states(canvas.ids_BL, prefix_BP, draft_BP)
        keep_BTL = prefix_states(self.keep_BL(canvas), prefix_BP, torch.ones_like(draft_BP).double())
        at_BTA = torch.nn.functional.pad(slots_BS, (0, count + ahead), value=-1).unfold(1, 1 + ahead, 1)[:, :count]
        if known_B is not None:
            at_BTA = torch.cat([at_BTA[:, :1].masked_fill(known_B[:, None, None], -1), at_BTA[:, 1:]], 1)
        if self.network.visible_noise:
            states_BTL = states_BTL.scatter(2, at_BTA[..., :1].clamp(min=0), self.network.mask_id)
        logits_BTAV = self.score(canvas, states_BTL, keep_BTL, at_BTA)
        target_BTV = logits_BTAV[:, :, 0]
        if self.network.visible_noise:
            target_BTV = self.with_likelihood(canvas, target_BTV, slots_BS[:, :count])
        if not ahead:
            return Targets(target_BTV)
        every_state_BT = torch.arange(count, device=slots_BS.device).expand(len(slots_BS), -1)
        return Targets(target_BTV, logits_BTAV, every_state_BT)

    def keep_BL(self, canvas: Canvas) -> Tensor:
        """Keep probability of every site: pending ones carry the noise of this time, all others are clean."""
        clean_BL = torch.ones_like(canvas.pending_BL, dtype=torch.float64)
        return clean_BL.masked_fill(canvas.pending_BL, self.network.noise.keep(self.time))

    def score(self, canvas: Canvas, states_BTL: Tensor, keep_BTL: Tensor, at_BTA: Tensor) -> Tensor:
        """Run the states whose first slot exists, as one call; logits [B, T, A, V], zero where there is no slot."""
        real_BT = at_BTA[..., 0] >= 0
        lengths_R = None if canvas.lengths_B is None else canvas.lengths_B[:, None].expand_as(real_BT)[real_BT]
        keep_RL = keep_BTL[real_BT] if self.network.visible_noise else None
        positions_RA = at_BTA[real_BT].clamp(min=0)
        logits_RAV = self.network.logits_at(states_BTL[real_BT], positions_RA, lengths_R, keep_RL)
        rows_B = real_BT.sum(1)
        self.meter.pass_(self.who_B, rows_B, rows_B * row_lengths(canvas))
        out_BTAV = logits_RAV.new_zeros((*at_BTA.shape, logits_RAV.shape[-1]))
        out_BTAV[real_BT] = logits_RAV.masked_fill((at_BTA[real_BT] < 0)[..., None], 0.0)
        return out_BTAV

    def with_likelihood(self, canvas: Canvas, logits_BTV: Tensor, slots_BT: Tensor) -> Tensor:
        """Target proportional to q(x_t^i | x_0^i) p(x_0^i | x_t^{>i}, x_0^{<i}), Lemma 1 of 2605.14305; the second factor,
        a leave-one-out prediction, is what the network says of a masked site."""
        noisy_BT = canvas.ids_BL.gather(1, slots_BT.clamp(min=0))
        likelihood_BTV = self.network.noise.log_likelihood(noisy_BT, self.time, logits_BTV.shape[-1])
        return logits_BTV.double().log_softmax(-1) + torch.where((slots_BT >= 0)[..., None], likelihood_BTV, 0.0)

    def committed(self, canvas: Canvas, slots_BS: Tensor, accepted_B: Tensor, commit_B: Tensor) -> None:
        pass

    def select(self, rows: Tensor) -> None:
        self.who_B = self.who_B[rows]


class PackedScorer:
    """Verification in one packed pass (design section 5). Committed tokens become cached references.

    The last committed token of a round (a correction or a bonus) was no reference of that round's pass; it waits in
    `waiting` and leads the references of the next one.
    """

    def __init__(self, network: Network, meter: Meter, who_B: Tensor) -> None:
        assert network.packed is not None, "the plan refuses packed verification of other networks"
        self.network, self.model, self.meter, self.who_B = network, network.packed, meter, who_B

    def pass_began(self, canvas: Canvas, slots_BS: Tensor, time: float) -> Tensor:
        rank_BL = torch.where(canvas.pending_BL, dense_rank(canvas), REVEALED)
        self.session = PackedSession(self.model, canvas.ids_BL, rank_BL, slots_BS, canvas.lengths_B)
        self.waiting_B1 = torch.full_like(canvas.ids_BL[:, :1], -1)
        self.meter.pass_(self.who_B, torch.ones_like(self.who_B), row_lengths(canvas) + (slots_BS >= 0).sum(1))
        return self.session.first_logits_BDV

    def marginals(self, canvas: Canvas, slots_BS: Tensor) -> Tensor:
        asked_B1 = (slots_BS >= 0).any(1, keepdim=True)
        references_B1 = torch.where(asked_B1, self.waiting_B1, -1)
        _, logits_BGSV = self.extend(canvas, references_B1, slots_BS[:, :0], slots_BS[:, None])
        self.session.absorb(asked_B1[:, 0].long())
        self.waiting_B1 = torch.where(asked_B1, -1, self.waiting_B1)
        return logits_BGSV[:, 0]

    def targets(
        self,
        canvas: Canvas,
        slots_BS: Tensor,
        draft_BW: Tensor,
        count: int,
        known_B: Tensor | None = None,
        ahead: int = 0,
        anchor_BG: Tensor | None = None,
    ) -> Targets:
        """References for the waiting token and the drafts, targets at the drafts, and draft groups: one behind the window,
        whose first member is the bonus target (it sees every draft and nothing else of its group), and one at each
        anchor."""
        width = draft_BW.shape[1]
        window_BW = slots_BS[:, :width]
        asked_BW = window_BW
        if known_B is not None:
            asked_BW = torch.cat([window_BW[:, :1].masked_fill(known_B[:, None], -1), window_BW[:, 1:]], 1)
        behind_B1 = torch.full_like(self.waiting_B1, width)
        anchor_BG = behind_B1 if anchor_BG is None else torch.cat([behind_B1, anchor_BG], 1)
        group_BGD = group_slots(slots_BS, anchor_BG, max(count - width, ahead + 1 if ahead else 0))
        references_BR = torch.cat([self.waiting_B1, window_BW], 1)
        target_BTV, ahead_BGDV = self.extend(canvas, references_BR, asked_BW, group_BGD, draft_BW)
        logits_BTV = torch.cat([target_BTV, ahead_BGDV[:, 0, : count - width]], dim=1)
        return Targets(logits_BTV, ahead_BGDV, anchor_BG) if ahead else Targets(logits_BTV)

    def extend(
        self,
        canvas: Canvas,
        references_BR: Tensor,
        targets_BT: Tensor,
        drafts_BGD: Tensor,
        draft_BW: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One pass: logits of the targets [B, T, V] and of the draft groups [B, G, D, V]."""
        ids_BR = canvas.ids_BL.gather(1, references_BR.clamp(min=0))
        if draft_BW is not None:
            ids_BR = torch.cat([ids_BR[:, :1], draft_BW], 1)
        drafts_BN = drafts_BGD.flatten(1)
        first_BN = drafts_BGD[:, :, :1].clamp(min=0).expand_as(drafts_BGD).flatten(1)
        limit_BN = self.session.rank_BL.gather(1, first_BN)
        target_BTV, draft_BNV = self.session.extend(references_BR, ids_BR, targets_BT, drafts_BN, limit_BN)
        queries_B = (targets_BT >= 0).sum(1) + (drafts_BN >= 0).sum(1)
        busy_B = (queries_B > 0).long()
        self.meter.pass_(self.who_B, busy_B, busy_B * ((references_BR >= 0).sum(1) + queries_B))
        return target_BTV, draft_BNV.view(*drafts_BGD.shape, draft_BNV.shape[-1])

    def committed(self, canvas: Canvas, slots_BS: Tensor, accepted_B: Tensor, commit_B: Tensor) -> None:
        cached_B = torch.zeros_like(accepted_B)  # committed tokens that were references of a pass of this round
        if self.session.new_references is not None:
            self.session.absorb(accepted_B + 1)
            cached_B = accepted_B
        last_B1 = (commit_B - 1).clamp(min=0)[:, None]
        extra_B1 = (commit_B > cached_B)[:, None]
        self.waiting_B1 = torch.where(extra_B1, slots_BS.gather(1, last_B1), -1)

    def select(self, rows: Tensor) -> None:
        self.who_B, self.waiting_B1 = self.who_B[rows], self.waiting_B1[rows]
        self.session.select(rows)


def prefix_states(ids_BL: Tensor, slots_BW: Tensor, draft_BW: Tensor) -> Tensor:
    """Canvases [B, W + 1, L]: state n has the first n drafts filled in."""
    states = [ids_BL]
    for place in range(slots_BW.shape[1]):
        slot_B1, draft_B1 = slots_BW[:, place : place + 1], draft_BW[:, place : place + 1]
        filled_BL = states[-1].scatter(1, slot_B1.clamp(min=0), draft_B1)
        states.append(torch.where(slot_B1 >= 0, filled_BL, states[-1]))
    return torch.stack(states, dim=1)


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


def row_lengths(canvas: Canvas) -> Tensor:
    if canvas.lengths_B is not None:
        return canvas.lengths_B
    return torch.full_like(canvas.ids_BL[:, 0], canvas.ids_BL.shape[1])
