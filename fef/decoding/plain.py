"""Rounds without speculation: draw every candidate from its marginal, commit what the rule chooses, perhaps revoke.

Shapes: B rows, L canvas length, S candidates, V vocabulary.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from fef.decoding.canvas import written
from fef.decoding.influence import influence_of
from fef.decoding.plan import Joint
from fef.decoding.score import Prediction, PredictionRequest
from fef.decoding.session import Session
from fef.decoding.takeback import remember, rows_to_check, suspects, take_back
from fef.decoding.unmask import Candidates
from fef.laws.law import Law
from fef.laws.pipeline import log_law

__all__ = ["choose_and_commit", "plain_round"]


def plain_round(session: Session) -> None:
    look = next_look(session)
    if look.suspects_BC is None and not look.slots_BS.shape[1]:
        return  # everything is drawn, and waits for the check that ends the cycle
    seen = session.scorer.look(session.requests, look)
    pending_BL = session.pending_BL
    tokens_BS, take_BS = choose_and_commit(session, look.slots_BS, seen)
    if session.plan.joint is not None:
        tokens_BS, take_BS = follow_up(session, session.plan.joint, look.slots_BS, seen, tokens_BS, take_BS)
    commit_B = take_BS.sum(1)
    session.scorer.committed(commit_B)
    if look.suspects_BC is not None:
        take_back(session, look, seen, pending_BL & ~session.pending_BL)
    session.meter.rounds += commit_B > 0
    if session.observe is not None:
        here_BS = session.within_BL.gather(1, look.slots_BS.clamp(min=0))
        session.notify(look.slots_BS.masked_fill(~here_BS, -1), tokens_BS, take_BS)


def next_look(session: Session) -> PredictionRequest:
    rule, revoke = session.plan.rule, session.plan.revoke
    slots_BS = candidates(session)
    if revoke is None:
        return PredictionRequest(slots_BS, hidden=rule.reads_hidden, apart=session.network.visible_noise)
    checks_B = rows_to_check(session, revoke)
    if not bool(checks_B.any()):
        return PredictionRequest(slots_BS, hidden=rule.reads_hidden)
    if not revoke.commits:
        slots_BS = slots_BS.masked_fill(checks_B[:, None], -1)
    return PredictionRequest(
        slots_BS, suspects(session, revoke, checks_B), revoke.masked, revoke.together, checks_B, rule.reads_hidden
    )


def candidates(session: Session) -> Tensor:
    """Slots that the rule may choose from or look at, in decoding order: [B, S], -1 where there are fewer."""
    if session.plan.rule.looks_ahead:
        open_BL = session.canvas.pending_BL & session.active_B[:, None]
        return session.canvas.next_slots(int(open_BL.sum(1).max()), open_BL)
    if session.plan.rule.in_order:
        progress = session.progress
        count_B = session.plan.rule.transfer(progress).minimum(progress.pending_B)
        slots_BS = session.next_slots(int(count_B.max()))
        index_S = torch.arange(slots_BS.shape[1], device=slots_BS.device)
        return slots_BS.masked_fill(index_S >= count_B[:, None], -1)
    return session.next_slots(int(session.pending_BL.sum(1).max()))


def choose_and_commit(session: Session, slots_BS: Tensor, seen: Prediction) -> tuple[Tensor, Tensor]:
    """Draw a token at each slot, let the rule choose, commit. Returns the tokens and which were committed, [B, S]."""
    if not slots_BS.shape[1]:
        return slots_BS, slots_BS >= 0
    plan, logits_BSV = session.plan, seen.logits_BSV
    # a slot that is drawn once is drawn with the noise that every chain decoder uses there
    redraws = plan.rule.reads_tokens or plan.revoke is not None
    site = session.site(slots_BS, session.passes.attempt_B if redraws else None)
    tokens_BS, logp_BS = session.draw(logits_BSV, slots_BS, site)
    plain = session.unit_law(logits_BSV, slots_BS)
    found = Candidates(
        slots_BS=slots_BS,
        tokens_BS=tokens_BS,
        plain=plain,
        sampled=lambda: Law(log_law(logits_BSV, session.sampling.ungreedy())),
        count_B=plan.rule.transfer(session.progress),
        place=lambda: distance_in_block(session, slots_BS),
        length=session.canvas.ids_BL.shape[1],
        noise=session.noise,
        site=session.site(slots_BS, session.passes.attempt_B),
        memory=session.memory,
        influence=lambda: influence_of(session, slots_BS, seen),
        causal=lambda: causal_logits(session, slots_BS, tokens_BS),
        redraw=lambda logits_BSV: session.draw(logits_BSV, slots_BS, site)[0],
        logits_BSV=logits_BSV,
        ahead_BS=~session.within_BL.gather(1, slots_BS.clamp(min=0)) if plan.rule.looks_ahead else None,
    )
    take_BS = plan.rule.select(found) & found.real_BS
    if plan.first_slot_first:  # with shifted logits, the first slot of a block is read outside it
        take_BS = found.first_if_opening(take_BS)
    told = partial(session.law, logits_BSV, slots_BS, told=True)
    session.commit(slots_BS, tokens_BS, logp_BS, plain, take_BS, told, fill=not plan.rule.in_order)
    if plan.revoke is not None and plan.revoke.recent:
        remember(session, plan.revoke, slots_BS, plain, take_BS)
    return tokens_BS, take_BS


def follow_up(
    session: Session, joint: Joint, slots_BS: Tensor, seen: Prediction, tokens_BS: Tensor, take_BS: Tensor
) -> tuple[Tensor, Tensor]:
    """Commit further draws of a round, each given those before it. Returns the tokens and which were committed in all."""
    hidden_BSD = seen.hidden_BSE
    for _ in range(1, joint.count):
        still_BS = session.pending_BL.gather(1, slots_BS.clamp(min=0)) & (slots_BS >= 0)
        if not bool(still_BS.any()):
            break
        assert hidden_BSD is not None, "the rule asks for hidden states"
        hidden_BSD, logits_BSV = joint.follow(session.canvas.ids_BL, slots_BS, hidden_BSD)
        more_BS, now_BS = choose_and_commit(session, slots_BS.masked_fill(~still_BS, -1), Prediction(logits_BSV))
        tokens_BS, take_BS = torch.where(now_BS, more_BS, tokens_BS), take_BS | now_BS
    return tokens_BS, take_BS


def causal_logits(session: Session, slots_BS: Tensor, tokens_BS: Tensor) -> Tensor:
    """What the causal model says of each slot, given the tokens before it, those drawn in this round among them."""
    assert session.plan.causal is not None, "the preset asks for it"
    filled_BL = written(session.canvas.ids_BL, slots_BS, tokens_BS)
    return session.plan.causal.logits(filled_BL, slots_BS, session.meter)


def distance_in_block(session: Session, slots_BS: Tensor) -> Tensor:
    """Slots of the block before each one, from its first open slot on, as a share of the block."""
    place_BL = session.within_BL.long().cumsum(1)
    first_B1 = torch.where(session.pending_BL, place_BL, place_BL.shape[1]).amin(1, keepdim=True)
    place_BS = (place_BL - first_B1).gather(1, slots_BS.clamp(min=0))
    return place_BS / session.within_BL.sum(1, keepdim=True).clamp(min=1)  # rows that are complete have no block
