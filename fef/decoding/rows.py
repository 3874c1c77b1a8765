"""The rows scorer: one full sequence per prefix state. Exact for every denoiser, and the law of its own plain forward.

Shapes: as in `score`; R sequences of a call, P positions asked of each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, written
from fef.decoding.network import Network
from fef.decoding.plan import Guidance
from fef.decoding.requests import Requests
from fef.decoding.score import Prediction, PredictionRequest, Targets, VerificationRequest, row_lengths
from fef.laws.accept import Accepted

__all__ = ["RowsScorer", "bill_canvas", "prefix_states"]


class RowsScorer:
    """Under visible noise, targets get the site likelihood of Lemma 1 (2605.14305)."""

    def __init__(self, network: Network, count: int, device: torch.device, guidance: Guidance) -> None:
        self.network, self.guidance = network, guidance
        self.time_B = torch.ones(count, dtype=torch.float64, device=device)

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Prediction | None:
        self.time_B = self.time_B.index_copy(0, rows, time_B[rows])
        return None

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        canvas, slots_BS, suspects_BC = requests.canvas, look.slots_BS, look.suspects_BC
        if look.hidden:
            bill_canvas(requests, (slots_BS >= 0).any(1))
            states_BSE, logits_BSV = self.network.hidden_at(canvas.ids_BL, slots_BS.clamp(min=0), canvas.lengths_B)
            return Prediction(logits_BSV, hidden_BSE=states_BSE)
        if look.apart:
            return self.look_apart(requests, slots_BS)
        if suspects_BC is not None and look.masked:
            return self.look_without(requests, slots_BS, suspects_BC, look.together)
        S = slots_BS.shape[1]
        at_BN = slots_BS if suspects_BC is None else torch.cat([slots_BS, suspects_BC], 1)
        keep_BL = self.keep_BL(canvas)
        keep_B1L = None if keep_BL is None else keep_BL[:, None]
        logits_BNV = self.score(requests, canvas.ids_BL[:, None], keep_B1L, at_BN[:, None])[:, 0]
        return Prediction(logits_BNV[:, :S], None if suspects_BC is None else logits_BNV[:, S:])

    def look_apart(self, requests: Requests, slots_BS: Tensor) -> Prediction:
        """The target of each slot under visible noise, as if none of the others were asked: a row each."""
        canvas = requests.canvas
        keep_BL = self.keep_BL(canvas)
        assert keep_BL is not None, "masks need no likelihood"
        states_BSL = canvas.ids_BL[:, None].expand(-1, slots_BS.shape[1], -1)
        states_BSL = states_BSL.scatter(2, slots_BS.clamp(min=0)[..., None], self.network.mask_id)
        logits_BSV = self.score(requests, states_BSL, keep_BL[:, None].expand_as(states_BSL), slots_BS[..., None])[
            :, :, 0
        ]
        return Prediction(self.with_likelihood(canvas, logits_BSV, slots_BS))

    def look_without(
        self, requests: Requests, slots_BS: Tensor, suspects_BC: Tensor, together: bool = False
    ) -> Prediction:
        """Suspects in the shadow of a transformer's own pass; for another denoiser, a row each with that position masked."""
        canvas = requests.canvas
        if self.network.casts_shadows:
            shadows_BC = torch.cat([suspects_BC, slots_BS], 1) if together else suspects_BC
            bill_canvas(requests, (slots_BS >= 0).any(1) | (suspects_BC >= 0).any(1), (shadows_BC >= 0).sum(1))
            at_BS = slots_BS.clamp(min=0)
            seen = self.network.full_pass(canvas.ids_BL, at_BS, shadows_BC, canvas.lengths_B, together=together)
            return Prediction(seen.logits_RSV, seen.shadow_RCV[:, : suspects_BC.shape[1]])
        C, S = suspects_BC.shape[1], slots_BS.shape[1]
        states_BNL = canvas.ids_BL[:, None].expand(-1, C + 1, -1)
        hidden_BCL = states_BNL[:, 1:].scatter(2, suspects_BC.clamp(min=0)[..., None], self.network.mask_id)
        at_BNP = torch.full((len(slots_BS), C + 1, max(S, 1)), -1, device=slots_BS.device)
        at_BNP[:, 0, :S], at_BNP[:, 1:, 0] = slots_BS, suspects_BC
        keep_BL = self.keep_BL(canvas)
        keep_BNL = None if keep_BL is None else keep_BL[:, None].expand_as(states_BNL)
        logits_BNPV = self.score(requests, torch.cat([states_BNL[:, :1], hidden_BCL], 1), keep_BNL, at_BNP)
        return Prediction(logits_BNPV[:, 0, :S], logits_BNPV[:, 1:, 0])

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets:
        canvas = requests.canvas
        prefix_BP, draft_BP = ask.slots_BS[:, : ask.count - 1], ask.draft_BW[:, : ask.count - 1]
        states_BTL = prefix_states(canvas.ids_BL, prefix_BP, draft_BP)
        keep_BL = self.keep_BL(canvas)
        keep_BTL = None if keep_BL is None else prefix_states(keep_BL, prefix_BP, torch.ones_like(draft_BP).double())
        slots_BN = torch.nn.functional.pad(ask.slots_BS, (0, ask.count + ask.ahead), value=-1)
        place_BT = torch.arange(ask.count, device=slots_BN.device).expand(len(slots_BN), -1)
        absent_BT = ~ask.asked_BX[:, : ask.count]
        at_BTP = slots_BN.unfold(1, 1 + ask.ahead, 1)[:, : ask.count].masked_fill(absent_BT[..., None], -1)
        if self.network.visible_noise:
            states_BTL = states_BTL.scatter(2, at_BTP[..., :1].clamp(min=0), self.network.mask_id)
        logits_BTPV = self.score(requests, states_BTL, keep_BTL, at_BTP)
        target_BTV = logits_BTPV[:, :, 0]
        if self.network.visible_noise:
            target_BTV = self.with_likelihood(canvas, target_BTV, ask.slots_BS[:, : ask.count])
        if not ask.ahead:
            return Targets(target_BTV)
        return Targets(target_BTV, logits_BTPV[:, :, 1:], place_BT.masked_fill(absent_BT, -1))

    def keep_BL(self, canvas: Canvas) -> Tensor | None:
        """Keep probability of every site under visible noise: pending ones carry that of this time, all others are clean."""
        if not self.network.visible_noise:
            return None
        keep_B1 = self.network.noise.schedule.keep(self.time_B[:, None])
        return torch.where(canvas.pending_BL, keep_B1, 1.0)

    def score(self, requests: Requests, states_BTL: Tensor, keep_BTL: Tensor | None, at_BTP: Tensor) -> Tensor:
        """Run the states that are asked anything, as one call; logits [B, T, P, V], zero where nothing is asked."""
        real_BT = (at_BTP >= 0).any(-1)
        asked_R = real_BT.flatten().nonzero()[:, 0]
        owner_R = asked_R // real_BT.shape[1]
        states_RL, at_RP = states_BTL.flatten(0, 1)[asked_R], at_BTP.flatten(0, 1)[asked_R]
        keep_RL = None if keep_BTL is None else keep_BTL.flatten(0, 1)[asked_R]
        logits_RPV, tokens_R = self.run(requests.canvas, states_RL, at_RP.clamp(min=0), owner_R, keep_RL)
        rows_B = real_BT.sum(1) * self.guidance.rows
        requests.meter.pass_(rows_B, torch.zeros_like(rows_B).index_add_(0, owner_R, tokens_R))
        logits_RPV = logits_RPV.masked_fill((at_RP < 0)[..., None], 0.0)
        out_NPV = logits_RPV
        if len(asked_R) < real_BT.numel():
            out_NPV = logits_RPV.new_zeros(real_BT.numel(), *logits_RPV.shape[1:]).index_copy_(0, asked_R, logits_RPV)
        return out_NPV.view(*at_BTP.shape, -1)

    def run(
        self, canvas: Canvas, states_RL: Tensor, at_RP: Tensor, owner_R: Tensor, keep_RL: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Guided logits [R, P, V] and the tokens [R] that were computed for them. owner_R: the request of each sequence."""
        lengths_R = None if canvas.lengths_B is None else canvas.lengths_B[owner_R]
        tokens_R = row_lengths(canvas)[owner_R] * self.guidance.rows
        guidance, open_RL = self.guidance, canvas.open_BL[owner_R]
        if not guidance.on:
            return self.network.logits_at(states_RL, at_RP, lengths_R, keep_RL), tokens_R
        asked_RP = at_RP
        if guidance.contrast:
            asked_RP = torch.arange(states_RL.shape[1], device=at_RP.device).expand_as(states_RL)
        logits_RPV = self.network.logits_at(states_RL, asked_RP, lengths_R, keep_RL)
        if guidance.cfg_scale:
            blind_RL = torch.where(open_RL, states_RL, self.network.mask_id)
            blind_RPV = self.network.logits_at(blind_RL, asked_RP, lengths_R, keep_RL)
            guided_RPV = blind_RPV + (guidance.cfg_scale + 1) * (logits_RPV - blind_RPV)
            # what is excluded stays excluded, and what is excluded only without the prompt is not guided
            logits_RPV = torch.where((logits_RPV > -torch.inf) & (blind_RPV > -torch.inf), guided_RPV, logits_RPV)
        if guidance.contrast:
            logits_RPV = contrasted(logits_RPV, open_RL & (states_RL == self.network.mask_id), guidance.contrast)
            logits_RPV = logits_RPV.gather(1, at_RP[..., None].expand(-1, -1, logits_RPV.shape[-1]))
        return logits_RPV, tokens_R

    def with_likelihood(self, canvas: Canvas, logits_BTV: Tensor, slots_BT: Tensor) -> Tensor:
        """Target proportional to q(x_t^i | x_0^i) p(x_0^i | x_t^{>i}, x_0^{<i}), Lemma 1 of 2605.14305; the second factor,
        a leave-one-out prediction, is what the network says of a masked site."""
        noisy_BT = canvas.ids_BL.gather(1, slots_BT.clamp(min=0))
        likelihood_BTV = self.network.noise.log_likelihood(noisy_BT, self.time_B[:, None], logits_BTV.shape[-1])
        return logits_BTV.double().log_softmax(-1) + torch.where((slots_BT >= 0)[..., None], likelihood_BTV, 0.0)

    def committed(self, commit_B: Tensor, accepted: Accepted | None = None) -> None:
        pass

    def grow(self, count: int) -> None:
        self.time_B = torch.cat([self.time_B, self.time_B.new_ones(count)])

    def select(self, rows: Tensor) -> None:
        self.time_B = self.time_B[rows]


def bill_canvas(requests: Requests, busy_B: Tensor, more_B: Tensor | int = 0) -> None:
    """Count a pass over the whole canvas of the busy rows, and `more_B` tokens besides."""
    requests.meter.pass_(busy_B.long(), row_lengths(requests.canvas) + more_B)


def prefix_states(ids_BL: Tensor, slots_BW: Tensor, draft_BW: Tensor) -> Tensor:
    """Canvases [B, W + 1, L]: state n has the first n drafts filled in."""
    count = slots_BW.shape[1] + 1
    states_BNL = ids_BL[:, None].expand(-1, count, -1)
    behind_NW = torch.ones(count, count - 1, dtype=torch.bool, device=ids_BL.device).triu()
    place_BNW = slots_BW[:, None].masked_fill(behind_NW, -1)
    return written(states_BNL, place_BNW, draft_BW[:, None].expand_as(place_BNW))


def contrasted(logits_RLV: Tensor, masked_RL: Tensor, weight: float) -> Tensor:
    """(1 + w) l - w times the mean logits of the masked positions, a prediction that knows no position (Patel et al. 2025,
    position contrastive guidance)."""
    share_RL = masked_RL.to(logits_RLV.dtype)
    share_RL1 = (share_RL / share_RL.sum(1, keepdim=True).clamp(min=1))[..., None]
    mean_R1V = torch.where(share_RL1 > 0, logits_RLV * share_RL1, 0.0).sum(1, keepdim=True)
    # an id that is excluded everywhere stays excluded
    return torch.where(mean_R1V > -torch.inf, (1 + weight) * logits_RLV - weight * mean_R1V, logits_RLV)
