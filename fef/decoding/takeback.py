"""Revoking at work: which committed tokens are looked at again, and what happens to those that a rule takes back.

Shapes: B rows, L canvas length, S slots, C suspects, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.revoke import Revoke, Suspects
from fef.decoding.score import Seen
from fef.decoding.work import Work

__all__ = ["is_due", "remember", "suspects", "take_back"]


def is_due(work: Work, revoke: Revoke) -> bool:
    """Does this round end a cycle?"""
    return (work.attempt + 1) % revoke.cycle == 0


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


def take_back(work: Work, suspects_BC: Tensor, seen: Seen, new_BL: Tensor) -> None:
    """Open the slots again whose tokens the rule does not keep. new_BL: slots committed in this round."""
    revoke, canvas, eos = work.plan.revoke, work.canvas, work.run.eos
    assert revoke is not None and seen.suspect_BCV is not None, "the look asked for suspects"
    work.unchecked_BL = torch.zeros_like(work.unchecked_BL)
    if not suspects_BC.shape[1]:
        return
    if eos is not None:
        new_BL = new_BL & eos.up_to_end(canvas)  # what lies behind goes back with its EOS, so it is no progress
    at_BC = suspects_BC.clamp(min=0)
    logp_BCV = work.plain_law(seen.suspect_BCV)
    at_BCV = at_BC[..., None].expand(-1, -1, logp_BCV.shape[-1])
    found = Suspects(
        suspects_BC,
        canvas.ids_BL.gather(1, at_BC),
        logp_BCV,
        canvas.confidence_BL.gather(1, at_BC),
        work.memory["drafted"].gather(1, at_BCV) if revoke.keeps_laws else None,
        new_BL.sum(1),
    )
    row_N, column_N = (revoke.select(found) & (suspects_BC >= 0)).nonzero(as_tuple=True)
    drop_BL = torch.zeros_like(canvas.pending_BL)
    drop_BL[row_N, suspects_BC[row_N, column_N]] = True
    if eos is not None:
        drop_BL |= eos.decided_by(canvas, work.within_BL, drop_BL)
    canvas.erase(drop_BL, work.run.network.mask_id)
