"""The loop: rounds of a session until every row is complete. It knows parts, not methods.

Shapes: B rows.
"""

from __future__ import annotations

import torch

from fef.decoding.carried import CarriedDrafts
from fef.decoding.network import Network
from fef.decoding.order import decoding_order
from fef.decoding.plain import plain_round
from fef.decoding.plan import Judge, Plan, Speculation
from fef.decoding.replay import replay_round
from fef.decoding.requests import Requests
from fef.decoding.score import PredictionRequest
from fef.decoding.session import Observer, Session
from fef.decoding.speculate import speculative_round

__all__ = ["decode_requests", "round_of"]


def decode_requests(network: Network, plan: Plan, requests: Requests, observe: Observer | None = None) -> None:
    """Fill every open slot of the requests in place, as the plan says, each row at its own pace."""
    requests.canvas.rank_BL = decoding_order(requests.canvas, plan, requests.noise)
    every_row = torch.arange(len(requests.number_B), device=requests.number_B.device)
    session = Session(network, plan, requests.select(every_row), observe)
    session.requests.number_B = every_row
    session.open_passes()
    left = len(every_row)
    while left:
        complete_B = session.passes.complete_B
        left = len(complete_B) - int(complete_B.sum())
        if session.should_drop(left):
            part = session.drop(complete_B)
            requests.put(part.number_B, part)
        if left:
            round_of(session)
            session.open_passes()


def round_of(session: Session) -> None:
    """One round: draft and verify, or replay a rule ahead, or draw and choose."""
    active_B = session.active_B
    spec = session.plan.speculation
    if spec is not None and session.plan.judge is not None:
        judged_round(session, spec, session.plan.judge)
    elif spec is not None:
        speculative_round(session, spec)
    elif session.plan.replay:
        replay_round(session)
    else:
        plain_round(session)
    session.passes.attempt_B = session.passes.attempt_B + active_B


def judged_round(session: Session, spec: Speculation, judge: Judge) -> None:
    """A speculative round whose first target is not what the network said there, though it drafts on this very canvas."""
    slots_BW = session.next_slots(session.window)
    seen = session.scorer.look(session.requests, PredictionRequest(slots_BW, hidden=judge.reads_hidden))
    session.carry = CarriedDrafts(seen.logits_BSV, (slots_BW >= 0).sum(1))
    speculative_round(session, spec)
