"""The law of rounds with a joint layer (ADJUST, arXiv 2509.22738) by plain recursion over states, without `fef.decoding`."""

from __future__ import annotations

import torch

from fef.models.transformer import Transformer
from fef.verify.reference import certainty, law_at
from fef.verify.texts import Law, Pipeline, State, drawn_at, to_the_end

__all__ = ["joint_law"]


def joint_law(network: Transformer, start: State, count: int, pipeline: Pipeline) -> Law:
    """The law of rounds of `count` tokens: the slot of least entropy is drawn, then the layer changes the hidden states of
    all slots that the round began with, and again."""

    def round_(began: State) -> Law | None:
        slots_1S = torch.tensor([[i for i, v in enumerate(began) if v == network.mask_id]])
        going = [(began, network.hidden_at(torch.tensor([began]), slots_1S), 1.0)]
        for _ in range(min(count, slots_1S.shape[1])):
            going = [
                (text, changed(network, text, slots_1S, hidden_1SD), weight * p)
                for state, hidden_1SD, weight in going
                for text, p in drawn(network, state, slots_1S, hidden_1SD, pipeline).items()
            ]
        return {text: weight for text, _, weight in going} if slots_1S.numel() else None

    return to_the_end({start: 1.0}, round_)


def drawn(
    network: Transformer,
    state: State,
    slots_1S: torch.Tensor,
    hidden_1SD: torch.Tensor,
    pipeline: Pipeline,
) -> Law:
    laws = {
        i: law_at(logits_V, network.mask_id)
        for i, logits_V in zip(slots_1S[0].tolist(), network.logits(hidden_1SD)[0], strict=True)
        if state[i] == network.mask_id
    }
    at = max(laws, key=lambda i: certainty(laws[i]))
    return drawn_at(state, at, pipeline(laws[at]))


def changed(network: Transformer, state: State, slots_1S: torch.Tensor, hidden_1SD: torch.Tensor) -> torch.Tensor:
    tokens_1SD = network.embed(torch.tensor([[state[i] for i in slots_1S[0].tolist()]]))
    there_1S = torch.ones_like(slots_1S, dtype=torch.bool)
    found: torch.Tensor = network.extras.joint_layer(hidden_1SD, tokens_1SD, slots_1S, there_1S)
    return found
