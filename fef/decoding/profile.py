"""How uncertain a denoiser is of the true tokens as more and more others are revealed in a random order.

Shapes: B rows, L canvas length, S slots, G numbers of revealed tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fef.decoding.network import Network
from fef.decoding.order import decoding_order
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests
from fef.decoding.score import PredictionRequest
from fef.decoding.session import Session

__all__ = ["masked_nats"]


def masked_nats(network: Network, plan: Plan, requests: Requests, tokens_BL: Tensor, revealed: Sequence[int]) -> Tensor:
    """Mean -log p (nats) of `tokens_BL` at the slots still masked when the first `revealed[g]` slots of each row's order hold
    theirs; float64 [B, G]. One pass per number.

    Over random orders and texts of the law, column g has the mean f(revealed[g]) of the information profile: any masked
    slot is as good a next one, so all of them are averaged. revealed: ascending, below the open slots of a row, of which
    all rows have the same number.
    """
    canvas = requests.canvas
    open_B = canvas.open_BL.sum(1)
    assert bool((open_B == open_B[0]).all()) and revealed[-1] < int(open_B[0]), "rows have equal slots, and one is left"
    canvas.rank_BL = decoding_order(canvas, plan, requests.noise)
    session = Session(network, plan, requests)
    session.open_passes()
    done, nats = 0, []
    for count in revealed:
        next_BS = session.next_slots(count - done)
        unknown_BS = torch.full(next_BS.shape, torch.nan, dtype=torch.float64, device=next_BS.device)
        session.canvas.write(next_BS, tokens_BL.gather(1, next_BS), unknown_BS, unknown_BS, next_BS >= 0)
        masked_BS = session.next_slots(int(open_B[0]) - count)
        logp_BSV = session.law(
            session.scorer.look(session.requests, PredictionRequest(masked_BS)).logits_BSV, masked_BS
        )
        logp_BS = logp_BSV.gather(-1, tokens_BL.gather(1, masked_BS)[..., None])[..., 0]
        nats.append(-logp_BS.mean(1))
        done = count
    return torch.stack(nats, 1)
