"""Rounds without speculation: draw every candidate from its marginal, commit what the rule chooses, perhaps revoke.

Shapes: B rows, L canvas length, S candidates, C suspects, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.choice import Candidates, LowInfluence
from fef.decoding.influence import influence_of
from fef.decoding.revoke import Revoke, Suspects
from fef.decoding.score import Seen
from fef.decoding.work import Work
from fef.laws.draws import Purpose
from fef.laws.pipeline import log_law

__all__ = ["choose_and_commit", "plain_round"]


def plain_round(work: Work) -> None:
    revoke = work.plan.revoke
    checks = revoke is not None and (work.attempt + 1) % revoke.cycle == 0
    suspects_BC = suspects(work, revoke) if revoke is not None and checks else None
    slots_BS = candidates(work)
    if revoke is not None and checks and not revoke.commits:
        slots_BS = slots_BS[:, :0]
    if not checks and not slots_BS.shape[1]:
        return  # everything is drawn, and waits for the check that ends the cycle
    hidden = isinstance(work.plan.choice, LowInfluence) and work.plan.choice.source == "head"
    masked = revoke is None or revoke.masked
    seen = work.scorer.look(work.canvas, slots_BS, suspects_BC=suspects_BC, masked=masked, hidden=hidden)
    committed_before = work.canvas.confidence_BL.clone() if checks else None
    pending_BL = work.pending_BL
    tokens_BS, take_BS = choose_and_commit(work, slots_BS, seen)
    work.scorer.committed(work.canvas, slots_BS, torch.zeros_like(work.rows_B), take_BS.sum(1))
    if revoke is not None and suspects_BC is not None and committed_before is not None:
        assert seen.suspect_BCV is not None
        new_BL = pending_BL & ~work.pending_BL
        if work.run.eos is not None:
            new_BL &= work.run.eos.up_to_end(
                work.canvas
            )  # what lies behind goes back with its EOS, so it is no progress
        take_back(work, revoke, suspects_BC, seen.suspect_BCV, committed_before, new_BL.sum(1))
    work.run.meter.rounds[work.rows_B] += take_BS.any(1).long()
    work.notify(slots_BS, tokens_BS, take_BS)


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
    logp_BSV, plain_BSV = work.law(logits_BSV, slots_BS), work.plain_law(logits_BSV)
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


def remember(work: Work, revoke: Revoke, slots_BS: Tensor, plain_BSV: Tensor, take_BS: Tensor) -> None:
    """Note what the next check has to look at."""
    row_N, column_N = take_BS.nonzero(as_tuple=True)
    place_N = slots_BS[row_N, column_N]
    work.unchecked_BL[row_N, place_N] = True
    if revoke.keeps_laws:
        if "drafted" not in work.memory:
            shape = (*work.within_BL.shape, plain_BSV.shape[-1])
            work.memory["drafted"] = torch.zeros(shape, dtype=torch.float64, device=plain_BSV.device)
        work.memory["drafted"][row_N, place_N] = plain_BSV[row_N, column_N]


def suspects(work: Work, revoke: Revoke) -> Tensor:
    """Positions of the tokens that are looked at again, [B, C]. What an EOS decides is none of them."""
    suspect_BL = work.unchecked_BL if revoke.recent else work.within_BL & ~work.canvas.pending_BL
    suspect_BL = suspect_BL & work.active_B[:, None]
    if work.run.eos is not None:
        suspect_BL = suspect_BL & work.run.eos.up_to_end(work.canvas)
    count = int(suspect_BL.sum(1).max())
    index_BC = (~suspect_BL).long().argsort(dim=1, stable=True)[:, :count]
    return index_BC.masked_fill(~suspect_BL.gather(1, index_BC), -1)


def take_back(
    work: Work, revoke: Revoke, suspects_BC: Tensor, logits_BCV: Tensor, committed_BL: Tensor, new_B: Tensor
) -> None:
    canvas, at_BC = work.canvas, suspects_BC.clamp(min=0)
    if suspects_BC.shape[1]:
        logp_BCV = work.plain_law(logits_BCV)
        at_BCV = at_BC[..., None].expand(-1, -1, logp_BCV.shape[-1])
        found = Suspects(
            suspects_BC,
            canvas.ids_BL.gather(1, at_BC),
            logp_BCV,
            committed_BL.gather(1, at_BC),
            work.memory["drafted"].gather(1, at_BCV) if revoke.keeps_laws else None,
            new_B,
        )
        drop_BC = revoke.select(found) & (suspects_BC >= 0)
        row_N, column_N = drop_BC.nonzero(as_tuple=True)
        drop_BL = torch.zeros_like(canvas.pending_BL)
        drop_BL[row_N, suspects_BC[row_N, column_N]] = True
        if work.run.eos is not None:
            drop_BL |= work.run.eos.decided_by(canvas, work.within_BL, drop_BL)
        canvas.erase(drop_BL, work.run.network.mask_id)
    work.unchecked_BL = torch.zeros_like(work.unchecked_BL)
