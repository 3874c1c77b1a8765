"""Rounds without speculation: draw every candidate from its marginal, commit what the rule chooses, perhaps revoke.

Shapes: B rows, L canvas length, S candidates, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.choice import Candidates, LowInfluence
from fef.decoding.influence import influence_of
from fef.decoding.score import Look, Seen
from fef.decoding.takeback import is_due, remember, suspects, take_back
from fef.decoding.work import Work
from fef.laws.draws import Purpose
from fef.laws.pipeline import log_law

__all__ = ["choose_and_commit", "plain_round"]


def plain_round(work: Work) -> None:
    look = next_look(work)
    if not look.slots_BS.shape[1] and look.suspects_BC is None:
        return  # everything is drawn, and waits for the check that ends the cycle
    seen = work.scorer.look(work.canvas, look)
    pending_BL = work.pending_BL
    tokens_BS, take_BS = choose_and_commit(work, look.slots_BS, seen)
    work.scorer.committed(work.canvas, look.slots_BS, torch.zeros_like(work.rows_B), take_BS.sum(1))
    if look.suspects_BC is not None:
        take_back(work, look.suspects_BC, seen, pending_BL & ~work.pending_BL)
    work.run.meter.rounds[work.rows_B] += take_BS.any(1).long()
    work.notify(look.slots_BS, tokens_BS, take_BS)


def next_look(work: Work) -> Look:
    choice, revoke = work.plan.choice, work.plan.revoke
    hidden = isinstance(choice, LowInfluence) and choice.source == "head"
    if revoke is None or not is_due(work, revoke):
        return Look(candidates(work), hidden=hidden)
    slots_BS = candidates(work) if revoke.commits else torch.empty_like(work.rows_B[:, None])[:, :0]
    return Look(slots_BS, suspects(work, revoke), revoke.masked, hidden)


def candidates(work: Work) -> Tensor:
    """Slots that the rule may choose from, in decoding order: [B, S], -1 where there are fewer."""
    if work.plan.choice.in_order:
        return work.next_slots(int(work.plan.choice.quota(work.progress).max()))
    return work.next_slots(int(work.pending_BL.sum(1).max()))


def choose_and_commit(work: Work, slots_BS: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """Draw a token at each slot, let the rule choose, commit. Returns the tokens and which were committed, [B, S]."""
    if not slots_BS.shape[1]:
        return slots_BS, slots_BS >= 0
    plan, logits_BSV = work.plan, seen.logits_BSV
    logp_BSV, plain_BSV = work.law(logits_BSV, slots_BS), work.unit_law(logits_BSV, slots_BS)
    # a slot that is drawn once is drawn with the noise that every chain decoder uses there
    redraws = plan.choice.reads_tokens or plan.revoke is not None
    site = work.site(slots_BS, work.attempt if redraws else 0)
    tokens_BS = work.noise.categorical(logp_BSV, site, Purpose.TOKEN)
    found = Candidates(
        slots_BS,
        tokens_BS,
        plain_BSV,
        lambda: log_law(logits_BSV, work.sampling.ungreedy()),
        plan.choice.quota(work.progress),
        distance_in_block(work, slots_BS),
        work.canvas.ids_BL.shape[1],
        work.noise,
        work.site(slots_BS, work.attempt),
        work.memory,
        lambda: influence_of(work, slots_BS, seen),
    )
    take_BS = plan.choice.select(found) & (slots_BS >= 0)
    work.commit(slots_BS, tokens_BS, logp_BSV, plain_BSV, take_BS, fill=not plan.choice.in_order)
    if plan.revoke is not None and plan.revoke.recent:
        remember(work, plan.revoke, slots_BS, plain_BSV, take_BS)
    return tokens_BS, take_BS


def distance_in_block(work: Work, slots_BS: Tensor) -> Tensor:
    """Slots of the block before each one, from its first open slot on, as a share of the block."""
    place_BL = work.within_BL.long().cumsum(1)
    first_B1 = torch.where(work.pending_BL, place_BL, place_BL.shape[1]).amin(1, keepdim=True)
    place_BS = (place_BL - first_B1).gather(1, slots_BS.clamp(min=0))
    return place_BS / work.within_BL.sum(1, keepdim=True)
