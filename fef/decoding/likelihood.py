"""Exact log-likelihood of given tokens under the chain law of a plan: the loop with its draws replaced by the text.

Shapes: B rows, L canvas length, W slots a pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.loop import slot_law, start_work
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.order import decoding_order
from fef.decoding.plan import Plan
from fef.errors import OptionError
from fef.laws.draws import Noise
from fef.laws.pipeline import Sampling

__all__ = ["score_canvas"]

WINDOW = 64


def score_canvas(
    network: Network, canvas: Canvas, tokens_BL: Tensor, plan: Plan, noise: Noise, sampling: Sampling, meter: Meter
) -> None:
    """Write `tokens_BL` into every open slot of `canvas`, with its log p (nats) given the tokens before it in the order.

    Raises OptionError for plans without a one-pass chain law.
    """
    if plan.steps > 1 or plan.rank_by_draw or plan.rounds is not None or (not plan.speculate and plan.window > 1):
        raise OptionError(
            f"{plan.method} with these options has no one-pass chain law to score under. Use method='sequential', or "
            "'fef' with steps=1."
        )
    if network.visible_noise or (plan.block_length and plan.law == "packed"):
        raise OptionError("Scoring works for absorbing noise and, under the packed law, without block_length.")
    canvas.rank_BL = decoding_order(canvas, plan, noise)
    work = start_work(network, canvas, plan, noise, sampling, meter, canvas.open_BL, time=1.0)
    while bool(work.canvas.pending_BL.any()):
        slots_BW = work.canvas.next_slots(WINDOW)
        given_BW = tokens_BL.gather(1, slots_BW.clamp(min=0))
        logits_BWV = work.scorer.targets(work.canvas, slots_BW, given_BW, WINDOW).logits_BTV
        logp_BWV = slot_law(work, logits_BWV, slots_BW, given_BW)
        logp_BW = logp_BWV.gather(-1, given_BW[..., None])[..., 0]
        count_B = (slots_BW >= 0).sum(1)
        work.canvas.write(slots_BW, given_BW, logp_BW, torch.full_like(logp_BW, torch.nan), slots_BW >= 0)
        work.scorer.committed(work.canvas, slots_BW, count_B, count_B)
    canvas.put(work.rows_B, work.canvas)
