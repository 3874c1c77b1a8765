"""Laws of decoders on tiny canvases by plain recursion over states: written from the papers, without `fef.decoding`.

A state is a tuple of token ids, the mask among them; a law is a dict of states and probabilities. Shapes: L canvas
length, K real tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from fef.models.transformer import Transformer
from fef.verify.texts import Array, Law, Pipeline, State, drawn_in_turn, hidden, mixed, onward, to_the_end

__all__ = [
    "Denoise",
    "Reference",
    "Select",
    "Table",
    "certainty",
    "chain_law",
    "confidence",
    "denoised",
    "filled",
    "first_of",
    "laws_of",
    "margin",
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
    denoiser: Denoise | None = field(default=None, kw_only=True)  # whose they are

    @property
    def empty(self) -> State:
        return (self.mask,) * self.length

    @property
    def network(self) -> Transformer:
        assert isinstance(self.denoiser, Transformer), (
            "only networks have a packed law, or a model or a layer beside them"
        )
        return self.denoiser

    def open(self, state: State) -> list[int]:
        """The slots of a state that are masked."""
        return [i for i, v in enumerate(state) if v == self.mask]

    def law(self, state: State, slot: int) -> Array:
        """What a slot is drawn from [K], before temperature and top-p."""
        law: Array = self.at[state][slot]
        return law

    def begun(self, state: State, within: Sequence[int]) -> State:
        """The state from which a pass over these slots begins."""
        return state


Reference = Callable[[Table, State, Pipeline], Law]
"""The law of the texts that a decoder makes of a canvas: of what temperature and top-p make of the laws of slots."""


def table_of(denoiser: Denoise, n_tokens: int, length: int) -> Table:
    states = list(itertools.product(range(n_tokens + 1), repeat=length))
    laws = laws_of(denoiser(torch.tensor(states)), n_tokens)
    return Table(dict(zip(states, laws, strict=True)), n_tokens, length, denoiser=denoiser)


def laws_of(logits: torch.Tensor, count: int) -> Array:
    """The laws [..., K] of so many tokens by logits [..., V]."""
    laws: Array = logits[..., :count].double().softmax(-1).numpy()
    return laws


def chain_law(
    table: Table,
    start: State,
    pipeline: Pipeline,
    *,
    select: Callable[[Pipeline], Select] | None = None,
    drawn: bool = False,
    passes: int = 1,
    eta: float = 0.0,
    block_length: int | None = None,
    contrast: float = 0.0,
) -> Law:
    """A chain law of a table: of denoising passes in blocks of open slots, from left to right.

    select: the order rule in a block, by default from left to right; drawn: the order is drawn evenly before any token. eta:
    share of the largest rate at which ReMDM hides revealed tokens between passes. contrast: of positions, in the logits.
    """
    table = contrasted(table, contrast) if contrast else table
    slots = table.open(start)
    width = block_length or max(len(slots), 1)
    blocks = [slots[i : i + width] for i in range(0, len(slots), width)]
    rule = select(pipeline) if select else None
    orders = itertools.product(*map(itertools.permutations, blocks)) if drawn else [blocks]
    return mixed(denoised(table, start, order, passes, pipeline, rule, eta) for order in orders)


def contrasted(table: Table, weight: float) -> Table:
    """Position contrast (Patel et al.): logits move away from their mean over the masked slots of the state."""

    def law(state: State, laws: Array) -> Array:
        masked = table.open(state)
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


def ranked(score: Callable[[Array], float], count: int = 1, bias: float = 0.0) -> Select:
    """The `count` slots whose laws score highest, ranked anew after every commit; ties go to the left. bias: what a slot at
    the end of the canvas loses against one at its beginning."""

    def select(state: State, laws: Array, slots: list[int]) -> list[int]:
        return sorted(slots, key=lambda i: bias * (i - min(slots)) / len(state) - score(laws[i]))[:count]

    return select


def confidence(p: Array) -> float:
    return float(p.max())


def margin(p: Array) -> float:
    """The largest probability minus the second largest."""
    return float(np.sort(p)[-1] - np.sort(p)[-2])


def certainty(p: Array) -> float:
    """Negative entropy, nats."""
    return float((p[p > 0] * np.log(p[p > 0])).sum())


def filled(table: Table, start: Law, within: Collection[int], select: Select, pipeline: Pipeline) -> Law:
    """Fill the masked slots of `within`, step by step: those that `select` names, independently of each other.

    With one slot per step this is the chain law of the order that `select` stands for, else a product law.
    """

    def step(state: State) -> Law | None:
        slots = [i for i in within if state[i] == table.mask]
        chosen = select(state, table.at[state], slots) if slots else []
        return drawn_in_turn(state, chosen, lambda _, i: pipeline(table.law(state, i))) if slots else None

    return to_the_end(start, step)


def denoised(
    table: Table,
    start: State,
    blocks: Sequence[Sequence[int]],
    steps: int,
    pipeline: Pipeline,
    select: Select | None = None,
    eta: float = 0.0,
    fill: Callable[[State, Sequence[int]], Law] | None = None,
) -> Law:
    """T passes per block, linear schedule: tokens are hidden between passes as `hiding` says. fill: what a pass makes of a
    state and a block, by default one token after the other, in the order of the block or of `select`."""

    def chain(state: State, block: Sequence[int]) -> Law:
        return filled(table, {table.begun(state, block): 1.0}, block, select or first_of(block), pipeline)

    def pass_(state: State, block: Sequence[int], hides: tuple[float, float]) -> Law:
        rates = [hides[state[i] != table.mask] for i in block]
        return onward((fill or chain)(state, block), lambda text: hidden(text, block, rates, table.mask))

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
