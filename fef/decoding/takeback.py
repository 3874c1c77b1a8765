"""Revoking at work: which committed tokens are looked at again, and what happens to those that a rule takes back.

Shapes: B rows, L canvas length, S slots, C suspects, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import put_at
from fef.decoding.revoke import Revoke, Suspects
from fef.decoding.score import Prediction, PredictionRequest
from fef.decoding.session import Session
from fef.laws.law import Law

__all__ = ["remember", "rows_to_check", "suspects", "take_back"]


def rows_to_check(session: Session, revoke: Revoke) -> Tensor:
    """Rows [B] whose cycle this round ends."""
    return ((session.passes.attempt_B + 1) % revoke.cycle == 0) & session.active_B


def remember(session: Session, revoke: Revoke, slots_BS: Tensor, plain: Law, take_BS: Tensor) -> None:
    """Note what the next check has to look at."""
    put_at(session.passes.unchecked_BL, slots_BS, take_BS, take_BS)
    if revoke.keeps_laws:
        put_at(drafted_law(session, plain.logp_BSV.shape[-1]), slots_BS, take_BS, plain.logp_BSV)


def drafted_law(session: Session, size: int) -> Tensor:
    """The law [B, L, V] that each token was drawn from, nats."""
    return session.memory.of("drafted", (session.within_BL.shape[1], size), 0.0)


def suspects(session: Session, revoke: Revoke, checks_B: Tensor) -> Tensor:
    """Positions [B, C] of the tokens that are looked at again in the rows `checks_B`. What an EOS decides is none of them."""
    suspect_BL = session.passes.unchecked_BL if revoke.recent else session.within_BL & ~session.canvas.pending_BL
    suspect_BL = suspect_BL & checks_B[:, None]
    if session.eos is not None:
        suspect_BL = suspect_BL & session.eos.up_to_end(session.canvas)
    count = int(suspect_BL.sum(1).max())
    index_BC = (~suspect_BL).long().argsort(dim=1, stable=True)[:, :count]
    return index_BC.masked_fill(~suspect_BL.gather(1, index_BC), -1)


def take_back(session: Session, look: PredictionRequest, seen: Prediction, new_BL: Tensor) -> None:
    """Open the slots again whose tokens the rule does not keep. new_BL: slots committed in this round."""
    revoke, canvas, eos = session.plan.revoke, session.canvas, session.eos
    suspects_BC, checks_B = look.suspects_BC, look.checks_B
    assert revoke is not None and suspects_BC is not None and checks_B is not None, "the look asked for suspects"
    assert seen.suspect_BCV is not None, "and they were seen"
    session.passes.unchecked_BL = session.passes.unchecked_BL & ~checks_B[:, None]
    if eos is not None:
        new_BL = new_BL & eos.up_to_end(canvas)  # what lies behind goes back with its EOS, so it is no progress
    fresh_BC, logits_BCV = torch.zeros_like(suspects_BC, dtype=torch.bool), seen.suspect_BCV
    if revoke.fresh:
        fresh_BS = new_BL.gather(1, look.slots_BS.clamp(min=0)) & (look.slots_BS >= 0) & checks_B[:, None]
        suspects_BC = torch.cat([suspects_BC, look.slots_BS.masked_fill(~fresh_BS, -1)], 1)
        fresh_BC, logits_BCV = torch.cat([fresh_BC, fresh_BS], 1), torch.cat([logits_BCV, seen.logits_BSV], 1)
    at_BC = suspects_BC.clamp(min=0)
    logp_BCV = session.plain_law(logits_BCV).logp_BSV
    at_BCV = at_BC[..., None].expand(-1, -1, logp_BCV.shape[-1])
    found = Suspects(
        slots_BC=suspects_BC,
        tokens_BC=canvas.ids_BL.gather(1, at_BC),
        logp_BCV=logp_BCV,
        committed_BC=canvas.confidence_BL.gather(1, at_BC),
        drafted_BCV=drafted_law(session, logp_BCV.shape[-1]).gather(1, at_BCV) if revoke.keeps_laws else None,
        fresh_BC=fresh_BC,
        new_B=new_BL.sum(1),
        open_B=session.pending_BL.sum(1),
        memory=session.memory,
    )
    drop_BC = revoke.select(found) & (suspects_BC >= 0)
    drop_BL = torch.zeros_like(canvas.pending_BL)
    put_at(drop_BL, suspects_BC, drop_BC, drop_BC)
    if eos is not None:
        drop_BL |= eos.decided_by(canvas, session.within_BL, drop_BL)
    canvas.erase(drop_BL, session.network.mask_id)
