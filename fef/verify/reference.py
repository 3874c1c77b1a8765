"""Laws of decoders on tiny canvases by plain recursion over states: written from the papers, without `fef.decoding`.

A state is a tuple of token ids, the mask among them; a law is a dict of states and probabilities. Shapes: L canvas
length, K real tokens.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from fef.models.packed import REVEALED, packed_target_logits
from fef.models.transformer import Transformer
from fef.verify.texts import Array, Law, Pipeline, State, drawn_at, hidden, mixed, onward, put, to_the_end

__all__ = [
    "Chain",
    "Process",
    "Select",
    "Table",
    "causal_chain_law",
    "certainty",
    "chain_law",
    "chain_pass",
    "confidence",
    "denoised",
    "filled",
    "first_of",
    "law_at",
    "margin",
    "order_causal",
    "packed_chain_law",
    "process_law",
    "product_of_experts",
    "ranked",
    "table_of",
]

Denoise = Callable[[torch.Tensor], torch.Tensor]
Select = Callable[[State, Array, list[int]], list[int]]
"""(state, laws [L, K], masked slots) -> the slots to fill now, each from its own law. It sees no drawn value."""


@dataclass(frozen=True)
class Table:
    """The conditionals of a denoiser: probabilities [L, K] of every state over K tokens and the mask, id K."""

    at: dict[State, Array]
    mask: int
    length: int

    @property
    def empty(self) -> State:
        return (self.mask,) * self.length

    def law(self, state: State, slot: int) -> Array:
        """What a slot is drawn from [K], before temperature and top-p."""
        law: Array = self.at[state][slot]
        return law

    def begun(self, state: State, within: Sequence[int]) -> State:
        """The state from which a pass over these slots begins."""
        return state


def table_of(denoiser: Denoise, n_tokens: int, length: int) -> Table:
    states = list(itertools.product(range(n_tokens + 1), repeat=length))
    laws = denoiser(torch.tensor(states)).double()[..., :n_tokens].softmax(-1).numpy()
    return Table(dict(zip(states, laws, strict=True)), n_tokens, length)


Target = Callable[[State, State, list[int], int], Array]
"""(state when the round began, state with the drafts before, the slots of the round, which one) -> its target law [K]."""


@dataclass(frozen=True)
class Process:
    """Rounds that draft a window from the network's marginals and verify it. target: of a network. coupled: draft and target
    are drawn with the same Gumbel noise (2408.07978); else by speculative sampling."""

    target: Callable[[Transformer], Target]
    window: int
    coupled: bool = False


def product_of_experts(share: float) -> Callable[[Transformer], Target]:
    """The network as it was when the round began, to the power `share`, and the causal model beside it."""

    def of(network: Transformer) -> Target:
        def target(began: State, now: State, slots: list[int], n: int) -> Array:
            own = law_at(network(torch.tensor([began]))[0, slots[n]], network.mask_id)
            next_ = law_at(network.extras.causal_model(torch.tensor([now[: slots[n]]]))[0, -1], network.mask_id)
            product: Array = own**share * next_ ** (1 - share)
            law: Array = product / product.sum()
            return law

        return target

    return of


def order_causal(network: Transformer) -> Target:
    """The network's hidden states when the round began, changed by its order-causal layer, which sees no later draft."""

    def target(began: State, now: State, slots: list[int], n: int) -> Array:
        at_1S = torch.tensor([slots[: n + 1]])
        tokens_1SD = network.embed(torch.tensor([[now[i] for i in slots[: n + 1]]]))
        states_1SD = network.extras.order_block(network.hidden_at(torch.tensor([began]), at_1S), tokens_1SD, at_1S)
        return law_at(network.logits(states_1SD)[0, n], network.mask_id)

    return target


def law_at(logits_V: torch.Tensor, count: int) -> Array:
    law: Array = logits_V[:count].double().softmax(-1).numpy()
    return law


@dataclass(frozen=True)
class Chain:
    """Which chain law is meant."""

    select: Callable[[Pipeline], Select] | None = None  # the order rule, given the pipeline; None: left to right
    drawn: bool = False  # the order is drawn evenly before any token, in each block
    passes: int = 1  # denoising passes
    eta: float = 0.0  # share of the largest rate at which ReMDM hides revealed tokens between them
    block_length: int | None = None  # blocks of open slots, from the left
    contrast: float = 0.0  # position contrast of the logits
    share: float = 1.0  # of a drawn order; behind it comes what is left, from the left
    packed: bool = False  # the conditionals of the packed attention pattern
    causal: bool = False  # those of the causal model beside the network, alone
    copula: bool = False  # those of the causal model, reweighted by the network's marginals
    joint: int = 0  # tokens of a pass, those behind the first by the joint layer; 0: no such rounds
    process: Process | None = None  # of rounds whose targets depend on where they began

    @property
    def of_network(self) -> bool:
        """Does it take more than the conditionals of a table?"""
        return self.packed or self.causal or self.copula or bool(self.joint) or self.process is not None


def chain_law(table: Table, chain: Chain, pipeline: Pipeline, start: State | None = None) -> Law:
    """The chain law of a table from `start`, by default the empty canvas."""
    table = contrasted(table, chain.contrast) if chain.contrast else table
    start = table.empty if start is None else start
    slots = [i for i, v in enumerate(start) if v == table.mask]
    width = chain.block_length or max(len(slots), 1)
    blocks = [slots[i : i + width] for i in range(0, len(slots), width)]
    select = chain.select(pipeline) if chain.select else None
    orders = itertools.product(*(itertools.permutations(block) for block in blocks)) if chain.drawn else [blocks]
    return mixed(denoised(table, start, order, chain.passes, pipeline, select, chain.eta) for order in orders)


def packed_chain_law(network: Transformer, start: State, pipeline: Pipeline, order: Sequence[int] | None = None) -> Law:
    """The chain law of the packed pattern in an order, by default from left to right: one dense pass over every text."""
    K = network.mask_id
    slots = [i for i, v in enumerate(start) if v == K] if order is None else list(order)
    texts = [put(start, dict(zip(slots, v, strict=True))) for v in itertools.product(range(K), repeat=len(slots))]
    texts_NL = torch.tensor(texts)
    rank_NL = torch.full_like(texts_NL, REVEALED)
    rank_NL[:, slots] = torch.arange(len(slots))
    logits_NLV = packed_target_logits(network, torch.tensor([start]).expand_as(texts_NL), texts_NL, rank_NL)
    laws = logits_NLV[..., :K].double().softmax(-1).numpy()
    return {
        text: float(np.prod([pipeline(law[i])[text[i]] for i in slots])) for text, law in zip(texts, laws, strict=True)
    }


def causal_chain_law(network: Denoise, start: State, mask: int, pipeline: Pipeline) -> Law:
    """The left-to-right chain law of a causal model, whose logits at a position are those of the next token."""

    def step(state: State) -> Law | None:
        slot = next((i for i, v in enumerate(state) if v == mask), None)
        if slot is None:
            return None
        return drawn_at(state, slot, pipeline(law_at(network(torch.tensor([state[:slot]]))[0, -1], mask)))

    return to_the_end({start: 1.0}, step)


def process_law(
    table: Table, network: Transformer, process: Process, order: Sequence[int], start: State, pipeline: Pipeline
) -> Law:
    """The law of texts in an order. A slot is drawn from its target p in any case; its draft, from q, is accepted with it
    with the probability `kept`, and the round goes on, or else ends there."""
    target = process.target(network)

    def round_(began: State) -> Law | None:
        slots = [i for i in order if began[i] == table.mask][: process.window]
        ended: Law = defaultdict(float)
        going: Law = {began: 1.0}
        for n, i in enumerate(slots):
            accepted: Law = defaultdict(float)
            for state, weight in going.items():
                p, q = pipeline(target(began, state, slots, n)), pipeline(table.at[began][i])
                both = kept(p, q, coupled=process.coupled)
                for v in np.flatnonzero(p):
                    accepted[put(state, {i: int(v)})] += weight * float(both[v])
                    ended[put(state, {i: int(v)})] += weight * float(p[v] - both[v])
            going = accepted
        for state, weight in going.items():
            ended[state] += weight
        return ended if slots else None

    return to_the_end({start: 1.0}, round_)


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


def contrasted(table: Table, weight: float) -> Table:
    """Position contrast (Patel et al.): logits move away from their mean over the masked slots of the state."""

    def law(state: State, laws: Array) -> Array:
        masked = [i for i, v in enumerate(state) if v == table.mask]
        if not masked:
            return laws
        logits = np.log(laws)
        logits[masked] = (1 + weight) * logits[masked] - weight * logits[masked].mean(0)
        sharper: Array = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        return sharper

    with np.errstate(divide="ignore"):  # what is excluded
        return Table({s: law(s, laws) for s, laws in table.at.items()}, table.mask, table.length)


def first_of(order: Sequence[int]) -> Select:
    """A fixed order, one slot at a time."""
    return lambda _state, _laws, slots: [next(i for i in order if i in slots)]


def ranked(score: Callable[[Array], Any], count: int = 1) -> Select:
    """The `count` slots whose laws score highest, ranked anew after every commit; ties go to the left."""
    return lambda _state, laws, slots: sorted(slots, key=lambda i: -score(laws[i]))[:count]


def confidence(p: Array) -> float:
    return float(p.max())


def margin(p: Array) -> float:
    """The largest probability minus the second largest."""
    return float(np.sort(p)[-1] - np.sort(p)[-2])


def certainty(p: Array) -> float:
    """Negative entropy, nats."""
    return float(sum(x * np.log(x) for x in p if x > 0))


def filled(table: Table, start: Law, within: Collection[int], select: Select, pipeline: Pipeline) -> Law:
    """Fill the masked slots of `within`, step by step: those that `select` names, independently of each other.

    With one slot per step this is the chain law of the order that `select` stands for, else a product law.
    """

    def step(state: State) -> Law | None:
        slots = [i for i in within if state[i] == table.mask]
        if not slots:
            return None
        law: Law = {state: 1.0}
        for i in select(state, table.at[state], slots):
            law = onward(law, partial(drawn_at, slot=i, p=pipeline(table.law(state, i))))
        return law

    return to_the_end(start, step)


def chain_pass(
    table: Table,
    start: Law,
    order: Sequence[int],
    pipeline: Pipeline,
    select: Select | None = None,
) -> Law:
    """Fill the masked slots of `order` one by one, each given all tokens there are; or in the order of `select`."""
    law = onward(start, lambda state: {table.begun(state, order): 1.0})
    return filled(table, law, order, select or first_of(order), pipeline)


def denoised(
    table: Table,
    start: State,
    blocks: Sequence[Sequence[int]],
    steps: int,
    pipeline: Pipeline,
    select: Select | None = None,
    eta: float = 0.0,
) -> Law:
    """T passes per block, linear schedule: tokens are hidden between passes as `hiding` says."""

    def pass_(state: State, block: Sequence[int], hides: tuple[float, float]) -> Law:
        rates = [hides[state[i] != table.mask] for i in block]
        texts = chain_pass(table, {state: 1.0}, block, pipeline, select)
        return onward(texts, lambda text: hidden(text, block, rates, table.mask))

    law: Law = {start: 1.0}
    for block, k in itertools.product(blocks, range(steps, 0, -1)):
        law = onward(law, partial(pass_, block=block, hides=hiding(k, steps, eta)))
    return law


def hiding(k: int, steps: int, eta: float) -> tuple[float, float]:
    """The probability that a token is hidden after pass k, if it was drawn in it and if it was there before.

    ReMDM (2503.00307) with sigma = eta times its largest value, min(1, (1 - alpha_s) / alpha_t); eta = 0 is the ordinary
    reverse transition, where what is revealed stays.
    """
    if k == 1:
        return 0.0, 0.0
    alpha_t, alpha_s = 1 - k / steps, 1 - (k - 1) / steps
    sigma = eta * (min(1.0, (1 - alpha_s) / alpha_t) if alpha_t else 1.0)
    return (1 - alpha_s - sigma * alpha_t) / (1 - alpha_t), sigma
