"""Exact log-likelihood of given tokens under the chain law of a plan: the loop with its draws replaced by the text.

Shapes: B rows, L canvas length, W slots per pass.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.network import Network
from fef.decoding.order import decoding_order
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests
from fef.decoding.score import PredictionRequest, VerificationRequest
from fef.decoding.session import Session
from fef.errors import OptionError
from fef.laws.accept import agreement
from fef.laws.tree import given_chain

__all__ = ["score_canvas"]

WINDOW = 64


def score_canvas(network: Network, plan: Plan, requests: Requests, tokens_BL: Tensor) -> None:
    """Write `tokens_BL` into every open slot of the canvases, with its log p (nats) given the tokens before it in the order,
    and the likeliest tokens there.

    Raises OptionError for plans without a one-pass chain law.
    """
    if plan.steps > 1 or not plan.chains or plan.cache is not None:
        raise OptionError(
            f"{plan.method} with these options has no one-pass chain law to score under. Use method='sequential', or "
            "'fef' with steps=1 and no cache."
        )
    if network.visible_noise or (plan.block_length and plan.law == "packed"):
        raise OptionError("Scoring works for absorbing noise and, under the packed law, without block_length.")
    requests.canvas.rank_BL = decoding_order(requests.canvas, plan, requests.noise)
    judge, spec, window = plan.judge, plan.speculation, WINDOW
    reads_round = judge is not None and (judge.reads_drafted or judge.reads_hidden)
    if reads_round:
        assert spec is not None, "a judge has the targets of drafts"
        window = min(window, spec.window)
    # one pass over all slots, in that order, unless a judge reads where the pass of a block began
    session = Session(network, plan if judge is not None else replace(plan, block_length=None), requests)
    session.open_passes()
    while bool(session.pending_BL.any()):
        slots_BW = session.next_slots(window)
        if judge is not None and reads_round:
            session.scorer.look(session.requests, PredictionRequest(slots_BW, hidden=judge.reads_hidden))
        given_BW = tokens_BL.gather(1, slots_BW.clamp(min=0))
        count_B = (slots_BW >= 0).sum(1)
        tree = given_chain(count_B, window)
        ask = VerificationRequest(slots_BS=slots_BW, draft_BW=given_BW, tree=tree, count=window, targets_B=count_B)
        logits_BWV = session.scorer.targets(session.requests, ask).logits_BXV[:, :window]
        logp_BWV = session.law_at_states(logits_BWV, slots_BW, given_BW, tree)
        if session.canvas.top:
            told_BWV = session.law_at_states(logits_BWV, slots_BW, given_BW, tree, told=True)
            session.canvas.write_likeliest(slots_BW, told_BWV, slots_BW >= 0)
        logp_BW = logp_BWV.gather(-1, given_BW[..., None])[..., 0]
        if session.grammar is not None:
            allowed_BWV = session.grammar.allowed(session.canvas, slots_BW, given_BW, None, logits_BWV.shape[-1])
            logp_BW = logp_BW.masked_fill(~allowed_BWV.gather(-1, given_BW[..., None])[..., 0], -torch.inf)
        session.canvas.write(slots_BW, given_BW, logp_BW, torch.full_like(logp_BW, torch.nan), slots_BW >= 0)
        session.scorer.committed(count_B, agreement(given_BW, tree, given_BW, count_B))
        if plan.block_length and judge is not None:
            session.open_passes()
            go_on(session.canvas, tokens_BL)


def go_on(canvas: Canvas, tokens_BL: Tensor) -> None:
    """Put the text where another block has begun with end tokens behind an end: it goes on there, which the law excludes."""
    other_BL = canvas.open_BL & ~canvas.pending_BL & (canvas.ids_BL != tokens_BL)
    canvas.ids_BL = torch.where(other_BL, tokens_BL, canvas.ids_BL)
    canvas.logprob_BL = canvas.logprob_BL.masked_fill(other_BL, -torch.inf)
