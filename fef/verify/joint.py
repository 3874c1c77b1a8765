"""The law of rounds with a joint layer (ADJUST, arXiv 2509.22738) by plain recursion over states, without `fef.decoding`."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from fef.models.transformer import Transformer
from fef.verify.reference import certainty, law_at
from fef.verify.texts import Law, Pipeline, State, put

__all__ = ["joint_law"]


def joint_law(network: Transformer, start: State, count: int, pipeline: Pipeline) -> Law:
    """The law of rounds of `count` tokens: the slot of least entropy is drawn, then the layer changes the hidden states of
    all slots that the round began with, and again."""
    mask = network.mask_id
    done: Law = defaultdict(float)
    todo: Law = {start: 1.0}
    while todo:
        after: Law = defaultdict(float)
        for began, weight in todo.items():
            slots_1S = torch.tensor([[i for i, v in enumerate(began) if v == mask]])
            going = [(began, network.hidden_at(torch.tensor([began]), slots_1S), weight)]
            for _ in range(min(count, slots_1S.shape[1])):
                going = [
                    (text, changed(network, text, slots_1S, hidden_1SD), w)
                    for state, hidden_1SD, share in going
                    for text, w in drawn(network, state, slots_1S, hidden_1SD, pipeline, share).items()
                ]
            for text, _, w in going:
                (after if mask in text else done)[text] += w
        todo = after
    return done


def drawn(
    network: Transformer,
    state: State,
    slots_1S: torch.Tensor,
    hidden_1SD: torch.Tensor,
    pipeline: Pipeline,
    share: float,
) -> Law:
    laws = {
        i: law_at(logits_V, network.mask_id)
        for i, logits_V in zip(slots_1S[0].tolist(), network.logits(hidden_1SD)[0], strict=True)
        if state[i] == network.mask_id
    }
    at = max(laws, key=lambda i: certainty(laws[i]))
    p = pipeline(laws[at])
    return {put(state, {at: int(v)}): share * float(p[v]) for v in np.flatnonzero(p)}


def changed(network: Transformer, state: State, slots_1S: torch.Tensor, hidden_1SD: torch.Tensor) -> torch.Tensor:
    tokens_1SD = network.embed(torch.tensor([[state[i] for i in slots_1S[0].tolist()]]))
    there_1S = torch.ones_like(slots_1S, dtype=torch.bool)
    found: torch.Tensor = network.extras.joint_layer(hidden_1SD, tokens_1SD, slots_1S, there_1S)
    return found
