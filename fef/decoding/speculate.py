"""Speculative rounds: draft a window, verify it, commit what the acceptance rule allows (FeF-DLLM, 2605.14305).

Shapes: B rows, W drafts, T targets (W, or W + 1 with a bonus slot), S slots, G anchors, V vocabulary,
X = W + 1 numbers of drafts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from fef.decoding.carried import CarriedDrafts
from fef.decoding.draft import Drafts, propose
from fef.decoding.plan import Speculation
from fef.decoding.score import Targets, VerificationRequest
from fef.decoding.session import Session
from fef.laws.accept import ACCEPT, Accepted
from fef.laws.window import chance_of_runs, likely_ends, worthwhile

__all__ = ["speculative_round"]


def speculative_round(session: Session, spec: Speculation) -> None:
    commit_known(session, spec)
    canvas, width = session.canvas, session.window
    count = width + 1 if spec.bonus else width
    ahead = width if spec.draft == "reuse" else 0
    slots_BS = session.next_slots(count + ahead)
    drafts = propose(session, spec, slots_BS[:, :width])
    draft_BW = drafts.tokens_BW
    if session.eos is not None:
        slots_BS = session.eos.without_certain_tail(canvas, session.within_BL, slots_BS, draft_BW)
    slots_BT = slots_BS[:, :count]
    chance_BX = chance_to_be_reached(session, spec, drafts, slots_BS[:, :width])
    real_B = (slots_BS[:, :width] >= 0).sum(1)
    width_B = torch.minimum(torch.minimum(real_B, drafts.count_B), worthwhile(chance_BX, spec.survival))
    targets_B = torch.minimum((slots_BT >= 0).sum(1), width_B + int(spec.bonus))
    ask = VerificationRequest(slots_BS, draft_BW, width_B, count, targets_B, drafts.known_B, ahead)
    targets = verify(session, spec, ask, drafts, chance_BX)
    logp_BTV = session.law(targets.logits_BTV, slots_BT, draft_BW, width_B)
    site_BT = session.site(slots_BT, session.passes.attempt_B)
    accepted = ACCEPT[spec.accept](logp_BTV, drafts.logq_BWV, draft_BW, width_B, targets_B, session.noise, site_BT)
    take_BT = torch.arange(count, device=slots_BT.device) < accepted.commit_B[:, None]
    logp_BT = logp_BTV.gather(-1, accepted.tokens_BT[..., None])[..., 0]
    plain = session.plain_law(targets.logits_BTV)
    told = partial(session.told_law, targets.logits_BTV, slots_BT, draft_BW, width_B)
    session.commit(slots_BT, accepted.tokens_BT, logp_BT, plain, take_BT, told, fill=False)
    session.scorer.committed(slots_BT, accepted.accepted_B, accepted.commit_B)
    session.carry = next_carry(targets, width, width_B, accepted, spec)
    session.meter.rounds += (width_B > 0).long()
    session.meter.drafted += width_B
    session.meter.accepted += accepted.accepted_B
    is_draft_BW = torch.arange(width, device=slots_BT.device) < width_B[:, None]
    session.notify(slots_BT, accepted.tokens_BT, take_BT, torch.where(is_draft_BW, draft_BW, -1), accepted.accepted_B)


def commit_known(session: Session, spec: Speculation) -> None:
    """Draw the slots whose targets the context passes have computed."""
    carry = session.carry
    if carry is None or carry.first_B1V is None or carry.known_B is None:
        return
    slots_B1 = session.next_slots(1).masked_fill(~carry.known_B[:, None], -1)
    logp_B1V = session.law(carry.first_B1V, slots_B1)
    zero_B, one_B = torch.zeros_like(slots_B1[:, 0]), (slots_B1[:, 0] >= 0).long()
    site_B1 = session.site(slots_B1, session.passes.attempt_B)
    accept = ACCEPT[spec.accept]
    accepted = accept(logp_B1V, logp_B1V[:, :0], slots_B1[:, :0], zero_B, one_B, session.noise, site_B1)
    take_B1 = one_B[:, None] > 0
    logp_B1 = logp_B1V.gather(-1, accepted.tokens_BT[..., None])[..., 0]
    plain = session.plain_law(carry.first_B1V)
    told = partial(session.told_law, carry.first_B1V, slots_B1)
    session.commit(slots_B1, accepted.tokens_BT, logp_B1, plain, take_B1, told, fill=False)
    session.scorer.committed(slots_B1, zero_B, one_B)
    session.carry = CarriedDrafts(carry.logits_BWV, carry.count_B)
    session.notify(slots_B1, accepted.tokens_BT, take_B1)


def next_carry(
    targets: Targets, window: int, width_B: Tensor, accepted: Accepted, spec: Speculation
) -> CarriedDrafts | None:
    """What the next round may draft from, see `Session`. Without a bonus slot a round without drafts would commit nothing."""
    carry = targets.after(window, width_B, accepted)
    if carry is None or spec.bonus:
        return carry
    return carry.forget(carry.count_B == 0)


def chance_to_be_reached(session: Session, spec: Speculation, drafts: Drafts, window_BW: Tensor) -> Tensor:
    """Predicted chance [B, X] that the first 0, 1, .., W drafts all hold.

    "confidence": a draft holds with the largest probability of its law. "influence": with one minus the influence on it of
    the slots before it (TV(p, q) is bounded by it). Neither looks at a drawn value, so the window is a
    function of history and the law stays what it is.
    """
    if not spec.survival and not spec.anchors:
        return torch.ones(window_BW.shape[0], window_BW.shape[1] + 1, dtype=torch.float64, device=window_BW.device)
    if spec.planner == "influence":
        assert drafts.hidden_BWE is not None and session.plan.head is not None, "the preset asks for both"
        moved_BW = session.plan.head(drafts.hidden_BWE, window_BW).double().triu(1).sum(1)
        holds_BW = (1 - moved_BW).clamp(min=0)
    else:
        own_BWV = drafts.logits_BWV if drafts.legal_BWV is None else drafts.legal_BWV
        holds_BW = session.plain_law(own_BWV).confidence_BS
    return chance_of_runs(holds_BW.masked_fill(window_BW < 0, 1.0))


def verify(session: Session, spec: Speculation, ask: VerificationRequest, drafts: Drafts, chance_BX: Tensor) -> Targets:
    """Targets of a round. Where the first target is known, its row asks for the others only, and for nothing if there are
    none."""
    first_B1V = drafts.logits_BWV[:, :1]
    known_B = drafts.known_B
    alone_B = known_B & (ask.targets_B <= 1)
    slots_BS = ask.slots_BS.masked_fill(alone_B[:, None], -1)
    if not bool((slots_BS >= 0).any()):
        return Targets(torch.nn.functional.pad(first_B1V, (0, 0, 0, ask.count - 1)))
    width_B = ask.width_B.masked_fill(alone_B, 0)
    targets_B = ask.targets_B.masked_fill(alone_B, 0)
    anchor_BG = None
    if ask.ahead and spec.anchors:
        anchor_BG = likely_ends(chance_BX, width_B, spec.anchors)
    asked = VerificationRequest(slots_BS, ask.draft_BW, width_B, ask.count, targets_B, known_B, ask.ahead, anchor_BG)
    targets = session.scorer.targets(session.requests, asked)
    known_first_B1V = torch.where(known_B[:, None, None], first_B1V, targets.logits_BTV[:, :1])
    targets.logits_BTV = torch.cat([known_first_B1V, targets.logits_BTV[:, 1:]], dim=1)
    return targets
