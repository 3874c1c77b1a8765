"""Laws of decoders on tiny canvases by plain recursion over states: written from the papers, without `fef.decoding`.

A state is a tuple of token ids, the mask among them; a law is a dict of states and probabilities.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

State = tuple[int, ...]
Law = dict[State, float]
Pipeline = Callable[[np.ndarray], np.ndarray]  # probabilities [K] -> the law that is sampled [K]


@dataclass(frozen=True)
class Table:
    """The conditionals of a denoiser: probabilities [L, K] of every state over K tokens and the mask, id K."""

    at: dict[State, np.ndarray]
    mask: int
    length: int


def table_of(denoiser: Callable[[torch.Tensor], torch.Tensor], n_tokens: int, length: int) -> Table:
    states = list(itertools.product(range(n_tokens + 1), repeat=length))
    laws = denoiser(torch.tensor(states)).double().softmax(-1)[..., :n_tokens].numpy()
    return Table(dict(zip(states, laws, strict=True)), n_tokens, length)


def sharpened(temperature: float = 1.0, top_p: float = 1.0) -> Pipeline:
    def pipeline(p: np.ndarray) -> np.ndarray:
        p = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        kept = np.zeros_like(p)
        kept[order[before < top_p]] = p[order[before < top_p]]
        return kept / kept.sum()

    return pipeline


def slot_law(table: Table, state: State, slot: int, pipeline: Pipeline, eos: int | None, open_: set[int]) -> np.ndarray:
    """The law at a slot; after EOS comes EOS, and before another token no EOS, among the open slots."""
    p = table.at[state][slot]
    if eos is None:
        return pipeline(p)
    if any(state[i] == eos for i in open_ if i < slot):
        return np.eye(len(p))[eos]
    if any(state[i] not in (eos, table.mask) for i in open_ if i > slot):
        p = np.where(np.arange(len(p)) == eos, 0.0, p)
        p = p / p.sum()
    return pipeline(p)


def chain_pass(
    table: Table,
    start: Law,
    order: Sequence[int],
    pipeline: Pipeline,
    eos: int | None = None,
    open_: Iterable[int] = (),
) -> Law:
    """Fill the masked slots of `order` one by one, each given all tokens there are.

    A pass starts by filling what an EOS decides.
    """
    among = set(open_) or set(range(table.length))
    law = mapped(start, lambda s: closed(s, order, table.mask, eos, among))
    for slot in order:
        after: Law = defaultdict(float)
        for state, weight in law.items():
            if state[slot] != table.mask:
                after[state] += weight
                continue
            for v, p in enumerate(slot_law(table, state, slot, pipeline, eos, among)):
                if p > 0:
                    after[put(state, slot, v)] += weight * p
        law = after
    return law


def closed(state: State, within: Sequence[int], mask: int, eos: int | None, open_: set[int]) -> State:
    ends = [i for i in open_ if state[i] == eos]
    if eos is None or not ends:
        return state
    return tuple(eos if v == mask and i in within and i > min(ends) else v for i, v in enumerate(state))


def denoised(
    table: Table,
    start: State,
    blocks: Sequence[Sequence[int]],
    steps: int,
    pipeline: Pipeline,
    eos: int | None = None,
) -> Law:
    """T passes a block, linear schedule: after pass k each token drawn in it is hidden with probability 1 - 1/k."""
    open_ = [i for block in blocks for i in block]
    law: Law = {start: 1.0}
    for block in blocks:
        for k in range(steps, 0, -1):
            after: Law = defaultdict(float)
            for state, weight in law.items():
                drawn = [i for i in block if state[i] == table.mask]
                for text, p in chain_pass(table, {state: weight}, block, pipeline, eos, open_).items():
                    for hidden in itertools.product([False, True], repeat=len(drawn)):
                        share = np.prod([(1 - 1 / k) if h else 1 / k for h in hidden])
                        if share > 0:
                            masks = {i for i, h in zip(drawn, hidden, strict=True) if h}
                            after[tuple(table.mask if i in masks else v for i, v in enumerate(text))] += p * share
            law = after
    return law


def low_confidence_pass(table: Table, start: State) -> Law:
    """LLaDA's default at temperature 1, one token a step: draw at every slot, keep the draw of highest probability."""
    law: Law = {start: 1.0}
    for _ in range(start.count(table.mask)):
        after: Law = defaultdict(float)
        for state, weight in law.items():
            slots = [i for i, v in enumerate(state) if v == table.mask]
            for draw in itertools.product(range(table.mask), repeat=len(slots)):
                p = np.array([table.at[state][i][v] for i, v in zip(slots, draw, strict=True)])
                best = int(p.argmax())
                after[put(state, slots[best], draw[best])] += weight * p.prod()
        law = after
    return law


def law_of_joint(joint: torch.Tensor) -> Law:
    return {state: float(joint[state]) for state in itertools.product(*map(range, joint.shape))}


def mapped(law: Law, move: Callable[[State], State]) -> Law:
    after: Law = defaultdict(float)
    for state, weight in law.items():
        after[move(state)] += weight
    return after


def put(state: State, slot: int, token: int) -> State:
    return (*state[:slot], token, *state[slot + 1 :])


def distance(p: Law, q: Law) -> float:
    """Total variation."""
    return 0.5 * sum(abs(p.get(s, 0.0) - q.get(s, 0.0)) for s in p.keys() | q.keys())
