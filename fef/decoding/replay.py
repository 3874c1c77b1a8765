"""Lossless greedy speculation: replay a choice rule several rounds ahead and keep what it would have done (SSD 2510.04147,
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
from fef.decoding.plain import choose_and_commit
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Look, Seen
from fef.decoding.work import Work

__all__ = ["replay_round"]


def replay_round(work: Work) -> None:
    scorer = work.scorer
    assert isinstance(scorer, RowsScorer), "the preset asks for rows"
    slots_BL = torch.arange(work.within_BL.shape[1], device=work.within_BL.device).masked_fill(~work.pending_BL, -1)
    logits_BLV = scorer.look(work.canvas, Look(slots_BL)).logits_BSV if work.carry is None else work.carry[0]
    chain = [rule_step(work, work.canvas, logits_BLV)]
    for _ in range(work.plan.replay - 1):
        chain.append(rule_step(work, chain[-1], logits_BLV))
    # one call for all canvases that are not complete; the step to the first one is certain already
    ids_BNL = torch.stack([c.ids_BL for c in chain], 1)
    open_BNL = torch.stack([c.pending_BL & work.within_BL for c in chain], 1)
    open_BNL = open_BNL & torch.cat([torch.ones_like(open_BNL[:, :1]), open_BNL[:, :-1]], 1).any(-1, keepdim=True)
    at_BNL = slots_BL[:, None].masked_fill(~open_BNL, -1)
    keep_BNL = torch.ones_like(ids_BNL, dtype=torch.float64)
    logits_BNLV = scorer.score(work.canvas, ids_BNL, keep_BNL, at_BNL) if bool((at_BNL >= 0).any()) else None
    reached_B = torch.zeros_like(work.rows_B)
    if logits_BNLV is not None:
        for n in range(len(chain) - 1):
            onward_B = (reached_B == n) & open_BNL[:, n].any(-1)
            true = rule_step(work, chain[n], logits_BNLV[:, n])
            reached_B = torch.where(onward_B & same(true, chain[n + 1]), n + 1, reached_B)
        every_B = torch.arange(len(reached_B), device=reached_B.device)
        work.carry = logits_BNLV[every_B, reached_B], torch.ones_like(reached_B, dtype=torch.bool)
    before_BL = work.pending_BL
    for n, canvas in enumerate(chain):
        rows = (reached_B == n).nonzero()[:, 0]
        work.canvas.put(rows, canvas.select(rows))
    meter = work.run.meter
    busy_B = before_BL.any(1)
    meter.rounds[work.rows_B] += busy_B.long()
    meter.drafted[work.rows_B] += busy_B * (1 + open_BNL[:, :-1].any(-1).sum(1))
    meter.accepted[work.rows_B] += busy_B * (1 + reached_B)
    written_BL = before_BL & ~work.pending_BL
    work.notify(slots_BL, work.canvas.ids_BL, written_BL)


def rule_step(work: Work, canvas: Canvas, logits_BLV: Tensor) -> Canvas:
    """The canvas after one round of the rule with these logits."""
    ahead = work.with_canvas(canvas.copy())
    slots_BS = ahead.next_slots(int(ahead.pending_BL.sum(1).max()))
    at_BSV = slots_BS.clamp(min=0)[..., None].expand(-1, -1, logits_BLV.shape[-1])
    choose_and_commit(ahead, slots_BS, Seen(logits_BLV.gather(1, at_BSV)))
    return ahead.canvas


def same(one: Canvas, other: Canvas) -> Tensor:
    return ((one.ids_BL == other.ids_BL) & (one.pending_BL == other.pending_BL)).all(1)
