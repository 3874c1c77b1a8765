"""Laws that take more of a network than the conditionals of its table, by plain recursion, without `fef.decoding`.

They are the packed pattern, a causal model beside the network, rounds whose targets depend on where they began, and layers on
its hidden states. Each is a `Reference`. Shapes: N texts, L canvas length, S slots, D width, K real tokens, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from math import comb, factorial

import numpy as np
import torch

from fef.models.packed import REVEALED, packed_target_logits
from fef.models.transformer import Transformer
from fef.verify.reference import Denoise, Table, certainty, denoised, laws_of
from fef.verify.texts import Array, Law, Pipeline, State, drawn_at, drawn_in_turn, mixed, put, to_the_end

__all__ = [
    "causal_law",
    "copula_law",
    "joint_law",
    "order_causal",
    "packed_chain_law",
    "packed_law",
    "process_law",
    "product_of_experts",
]

Target = Callable[[Transformer, State, State, list[int]], Array]
"""(network, state when the round began, state with the drafts before, slots of the round up to this one) -> its law [K]."""


def packed_law(table: Table, start: State, pipeline: Pipeline, *, drawn: bool = False, share: float = 1.0) -> Law:
    """The chain law of the packed pattern from left to right. drawn: with probability `share` a slot is one of those whose
    order is drawn evenly; behind them comes what is left, from the left."""
    slots = table.open(start)
    if not drawn:
        return packed_chain_law(table.network, start, pipeline)
    law: Law = defaultdict(float)
    for order, count in itertools.product(itertools.permutations(slots), range(len(slots) + 1)):
        chance = comb(len(slots), count) * share**count * (1 - share) ** (len(slots) - count) / factorial(len(slots))
        some = (*order[:count], *sorted(order[count:]))
        for text, p in packed_chain_law(table.network, start, pipeline, some).items():
            law[text] += chance * p
    return law


def packed_chain_law(network: Transformer, start: State, pipeline: Pipeline, order: Sequence[int] | None = None) -> Law:
    """The chain law of the packed pattern in an order, by default from left to right: one dense pass over every text."""
    K = network.mask_id
    slots = [i for i, v in enumerate(start) if v == K] if order is None else list(order)
    texts = [put(start, dict(zip(slots, v, strict=True))) for v in itertools.product(range(K), repeat=len(slots))]
    texts_NL = torch.tensor(texts)
    rank_NL = torch.full_like(texts_NL, REVEALED)
    rank_NL[:, slots] = torch.arange(len(slots))
    laws = laws_of(packed_target_logits(network, torch.tensor([start]).expand_as(texts_NL), texts_NL, rank_NL), K)
    return {
        text: float(np.prod([pipeline(law[i])[text[i]] for i in slots])) for text, law in zip(texts, laws, strict=True)
    }


def next_token(causal: Denoise, state: State, slot: int, count: int) -> Array:
    """A causal model's law of a slot given all before it: its logits at a position are those of the next token."""
    return laws_of(causal(torch.tensor([state[:slot]]))[0, -1], count)


def causal_law(table: Table, start: State, pipeline: Pipeline) -> Law:
    """The left-to-right chain law of the causal model beside the network, alone."""
    causal = table.network.extras.causal_model
    return drawn_in_turn(start, table.open(start), lambda text, i: pipeline(next_token(causal, text, i, table.mask)))


def copula_law(
    table: Table,
    start: State,
    pipeline: Pipeline,
    *,
    passes: int = 1,
    causal: Denoise | None = None,
    suffix: bool = True,
) -> Law:
    """The law of a discrete copula (DCD, arXiv 2410.01949): of passes in which a causal model draws what is open, each token
    times the ratio of the network's laws on the canvas of the pass and on its part before the slot; between passes tokens are
    hidden as always. causal: by default the model beside the network. suffix: False leaves the ratio out."""
    model, mask = causal or table.network.extras.causal_model, table.mask

    def fill(began: State, slots: Sequence[int]) -> Law:
        def law(text: State, i: int) -> Array:
            before = put(began, dict.fromkeys(range(i, table.length), mask))
            ratio = table.at[began][i] / table.at[before][i] if suffix else 1.0
            product = next_token(model, text, i, mask) * ratio
            return pipeline(product / product.sum())

        return drawn_in_turn(began, [i for i in slots if began[i] == mask], law)

    return denoised(table, start, [table.open(start)], passes, pipeline, fill=fill)


def product_of_experts(network: Transformer, began: State, now: State, slots: list[int], share: float) -> Array:
    """The network as it was when the round began, to the power `share`, and the causal model beside it."""
    own = laws_of(network(torch.tensor([began]))[0, slots[-1]], network.mask_id)
    next_ = next_token(network.extras.causal_model, now, slots[-1], network.mask_id)
    product: Array = own**share * next_ ** (1 - share)
    law: Array = product / product.sum()
    return law


def order_causal(network: Transformer, began: State, now: State, slots: list[int]) -> Array:
    """The network's hidden states when the round began, changed by its order-causal layer, which sees no later draft."""
    at_1S = torch.tensor([slots])
    hidden_1SD = network.hidden_at(torch.tensor([began]), at_1S)
    states_1SD = network.extras.order_block(hidden_1SD, network.embed(torch.tensor(now)[at_1S]), at_1S)
    return laws_of(network.logits(states_1SD)[0, -1], network.mask_id)


def process_law(
    table: Table,
    start: State,
    pipeline: Pipeline,
    *,
    target: Target,
    window: int,
    coupled: bool = False,
    drawn: bool = False,
) -> Law:
    """The law of rounds that draft a window from the network's marginals and verify it, from left to right or (`drawn`) in an
    order that is drawn before.

    A slot is drawn from its target p in any case; its draft, from q, is accepted with it with the probability `kept`, and the
    round goes on, or else ends there. coupled: draft and target are drawn with the same Gumbel noise (2408.07978); else by
    speculative sampling.
    """

    def round_(began: State, order: Sequence[int]) -> Law | None:
        slots = [i for i in order if began[i] == table.mask][:window]
        ended: Law = defaultdict(float)
        going: Law = {began: 1.0}
        for n, i in enumerate(slots):
            accepted: Law = defaultdict(float)
            for state, weight in going.items():
                p = pipeline(target(table.network, began, state, slots[: n + 1]))
                both = kept(p, pipeline(table.at[began][i]), coupled=coupled)
                for v in np.flatnonzero(p):
                    accepted[put(state, {i: int(v)})] += weight * float(both[v])
                    ended[put(state, {i: int(v)})] += weight * float(p[v] - both[v])
            going = accepted
        for state, weight in going.items():
            ended[state] += weight
        return ended if slots else None

    slots = table.open(start)
    orders = itertools.permutations(slots) if drawn else [slots]
    return mixed(to_the_end({start: 1.0}, partial(round_, order=order)) for order in orders)


def kept(p: Array, q: Array, *, coupled: bool) -> Array:
    """The probability of each token to be draft and target both: min(p, q), or with common Gumbel noise
    1 / sum over u of max(p(u) / p(v), q(u) / q(v)), where p and q have the token."""
    if not coupled:
        least: Array = np.minimum(p, q)
        return least
    both = np.zeros_like(p)
    for v in np.flatnonzero((p > 0) & (q > 0)):
        both[v] = 1 / np.maximum(p / p[v], q / q[v]).sum()
    return both


def joint_law(table: Table, start: State, pipeline: Pipeline, *, tokens: int) -> Law:
    """The law of rounds of so many tokens with a joint layer (ADJUST, arXiv 2509.22738): the slot of least entropy is drawn,
    then the layer changes the hidden states of all slots that the round began with, and again."""
    network = table.network

    def round_(began: State) -> Law | None:
        slots_1S = torch.tensor([table.open(began)])
        going = [(began, network.hidden_at(torch.tensor([began]), slots_1S), 1.0)]
        for _ in range(min(tokens, slots_1S.shape[1])):
            going = [
                (text, changed(text, slots_1S, hidden_1SD), weight * p)
                for state, hidden_1SD, weight in going
                for text, p in drawn(state, slots_1S, hidden_1SD).items()
            ]
        return {text: weight for text, _, weight in going} if slots_1S.numel() else None

    def drawn(state: State, slots_1S: torch.Tensor, hidden_1SD: torch.Tensor) -> Law:
        laws_SK = laws_of(network.logits(hidden_1SD)[0], table.mask)
        laws = {i: law for i, law in zip(slots_1S[0].tolist(), laws_SK, strict=True) if state[i] == table.mask}
        at = max(laws, key=lambda i: certainty(laws[i]))
        return drawn_at(state, at, pipeline(laws[at]))

    def changed(state: State, slots_1S: torch.Tensor, hidden_1SD: torch.Tensor) -> torch.Tensor:
        tokens_1SD, there_1S = network.embed(torch.tensor(state)[slots_1S]), torch.ones_like(slots_1S, dtype=torch.bool)
        found: torch.Tensor = network.extras.joint_layer(hidden_1SD, tokens_1SD, slots_1S, there_1S)
        return found

    return to_the_end({start: 1.0}, round_)
