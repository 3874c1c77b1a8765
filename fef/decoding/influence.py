"""The influence of candidate slots on each other, from the dependency head or by probing the network.

Shapes: B rows, S slots, V vocabulary, R sequences of a probe.
"""

from __future__ import annotations

from torch import Tensor

from fef.decoding.score import Prediction, row_lengths
from fef.decoding.session import Session
from fef.laws.influence import exact_influence

__all__ = ["influence_of"]


def influence_of(session: Session, slots_BS: Tensor, seen: Prediction) -> Tensor:
    """D [B, S, S] at temperature 1: the expected change (TV) of the law at slot j when slot i becomes known."""
    if session.plan.head is not None:
        assert seen.hidden_BSE is not None, "asked for where a head is used"
        influence_BSS: Tensor = session.plan.head(seen.hidden_BSE, slots_BS).double()
        return influence_BSS
    return probed(session, slots_BS, seen)


def probed(session: Session, slots_BS: Tensor, seen: Prediction) -> Tensor:
    canvas, network = session.canvas, session.network

    def score(ids_RL: Tensor) -> Tensor:
        if ids_RL is canvas.ids_BL:
            return seen.logits_BSV
        copies = len(ids_RL) // len(slots_BS)
        # a copy in which nothing was written is there for another row
        rows_B = (ids_RL.view(copies, *canvas.ids_BL.shape) != canvas.ids_BL).any(2).sum(0)
        session.meter.pass_(rows_B, rows_B * row_lengths(canvas))
        lengths_R = None if canvas.lengths_B is None else canvas.lengths_B.repeat(copies)
        return network.logits_at(ids_RL, slots_BS.clamp(min=0).repeat(copies, 1), lengths_R)

    def law_of(logits_BSV: Tensor) -> Tensor:
        return session.plain_law(logits_BSV).logp_BSV

    found = exact_influence(score, canvas.ids_BL, slots_BS, law_of, session.plan.probe_values)
    # values that were not tried may move a slot by all of their probability
    return (found.matrix_BSS + found.missing_mass_BS[..., None]).clamp(max=1)
