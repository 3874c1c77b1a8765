"""Lossless greedy speculation: replay a rule several rounds ahead and keep what it would have done (SSD 2510.04147,
FreeDave 2510.00294).

The draft chain applies the rule again and again with the logits of the current canvas. One call scores the canvases of the
chain. As long as the rule, with the logits of a canvas, leads to the next canvas of the chain (same slots, same tokens), that
one is what the rule alone would have reached; the logits of the last such canvas start the next round.

Shapes: B rows, L canvas length, N canvases of the chain ahead of the first, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.carried import CarriedDrafts
from fef.decoding.draft import carried_logits
from fef.decoding.plain import choose_and_commit
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Prediction
from fef.decoding.session import Session

__all__ = ["replay_round"]


def replay_round(session: Session) -> None:
    scorer = session.scorer
    assert isinstance(scorer, RowsScorer), "the preset asks for rows"
    index_L = torch.arange(session.within_BL.shape[1], device=session.within_BL.device)
    slots_BL = index_L.masked_fill(~session.pending_BL, -1)
    logits_BLV, _ = carried_logits(session, slots_BL)
    chain = [rule_step(session, session.canvas, logits_BLV)]
    for _ in range(session.plan.replay - 1):
        chain.append(rule_step(session, chain[-1], logits_BLV))
    # one call for all canvases that are not complete; the step to the first one is certain already
    ids_BNL = torch.stack([c.ids_BL for c in chain], 1)
    open_BNL = torch.stack([c.pending_BL & session.within_BL for c in chain], 1)
    open_BNL = open_BNL & torch.cat([torch.ones_like(open_BNL[:, :1]), open_BNL[:, :-1]], 1).any(-1, keepdim=True)
    at_BNL = slots_BL[:, None].masked_fill(~open_BNL, -1)
    logits_BNLV = scorer.score(session.requests, ids_BNL, None, at_BNL) if bool((at_BNL >= 0).any()) else None
    reached_B = torch.zeros_like(session.passes.attempt_B)
    if logits_BNLV is not None:
        for n in range(len(chain) - 1):
            onward_B = (reached_B == n) & open_BNL[:, n].any(-1)
            true = rule_step(session, chain[n], logits_BNLV[:, n])
            reached_B = torch.where(onward_B & same(true, chain[n + 1]), n + 1, reached_B)
        every_B = torch.arange(len(reached_B), device=reached_B.device)
        session.carry = CarriedDrafts(logits_BNLV[every_B, reached_B], torch.full_like(reached_B, logits_BNLV.shape[2]))
    before_BL = session.pending_BL
    for n, canvas in enumerate(chain):
        rows = (reached_B == n).nonzero()[:, 0]
        session.canvas.put(rows, canvas.select(rows))
    meter, busy_B = session.meter, before_BL.any(1)
    meter.rounds += busy_B.long()
    meter.drafted += busy_B * (1 + open_BNL[:, :-1].any(-1).sum(1))
    meter.accepted += busy_B * (1 + reached_B)
    written_BL = before_BL & ~session.pending_BL
    session.notify(slots_BL, session.canvas.ids_BL, written_BL)


def rule_step(session: Session, canvas: Canvas, logits_BLV: Tensor) -> Canvas:
    """The canvas after one round of the rule with these logits."""
    ahead = session.with_canvas(canvas.copy())
    slots_BS = ahead.next_slots(int(ahead.pending_BL.sum(1).max()))
    at_BSV = slots_BS.clamp(min=0)[..., None].expand(-1, -1, logits_BLV.shape[-1])
    choose_and_commit(ahead, slots_BS, Prediction(logits_BLV.gather(1, at_BSV)))
    return ahead.canvas


def same(one: Canvas, other: Canvas) -> Tensor:
    return ((one.ids_BL == other.ids_BL) & (one.pending_BL == other.pending_BL)).all(1)
