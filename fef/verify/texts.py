"""Laws of texts as plain dicts: of states, which are tuples of token ids with the mask among them, and probabilities; and
what temperature and top-p make of the law of a slot. Shapes: K real tokens."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Law",
    "Pipeline",
    "State",
    "distance",
    "drawn_at",
    "drawn_in_turn",
    "hidden",
    "law_of_joint",
    "mixed",
    "onward",
    "put",
    "sharpened",
    "to_the_end",
]

Array = NDArray[np.float64]
State = tuple[int, ...]
Law = dict[State, float]
Pipeline = Callable[[Array], Array]  # probabilities [K] -> the law that is sampled [K]


def sharpened(temperature: float = 1.0, top_p: float = 1.0) -> Pipeline:
    """Temperature, then top-p; temperature 0 is a point mass on the first most probable token."""

    def pipeline(p: Array) -> Array:
        if temperature == 0:
            mass: Array = np.eye(len(p))[p.argmax()]
            return mass
        p = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        kept = np.zeros_like(p)
        kept[order[before < top_p]] = p[order[before < top_p]]
        law: Array = kept / kept.sum()
        return law

    return pipeline


def mixed(laws: Iterable[Law]) -> Law:
    """The even mixture of laws: of an order that is drawn before anything else."""
    among = list(laws)
    total: Law = defaultdict(float)
    for law in among:
        for state, weight in law.items():
            total[state] += weight / len(among)
    return total


def law_of_joint(joint: torch.Tensor) -> Law:
    return {state: float(joint[state]) for state in itertools.product(*map(range, joint.shape))}


def onward(law: Law, step: Callable[[State], Law]) -> Law:
    """The law behind one step, which says what becomes of a state."""
    after: Law = defaultdict(float)
    for state, weight in law.items():
        for text, p in step(state).items():
            if p > 0:
                after[text] += weight * p
    return after


def to_the_end(law: Law, step: Callable[[State], Law | None]) -> Law:
    """The law of the states that have no further step: of those it is None."""
    done: Law = defaultdict(float)
    while law:
        found = {state: step(state) for state in law}
        for state, after in found.items():
            if after is None:
                done[state] += law[state]
        law = onward(law, lambda state, found=found: found[state] or {})  # type: ignore[misc]
    return done


def put(state: State, tokens: dict[int, int]) -> State:
    return tuple(tokens.get(i, v) for i, v in enumerate(state))


def drawn_at(state: State, slot: int, p: Array) -> Law:
    """What becomes of a state where a token is drawn at a slot."""
    return {put(state, {slot: int(v)}): float(p[v]) for v in np.flatnonzero(p)}


def drawn_in_turn(state: State, slots: Iterable[int], law: Callable[[State, int], Array]) -> Law:
    """What becomes of a state where a token is drawn at each of these slots in turn, from the law of the slot [K] given the
    state with the tokens before it."""
    texts: Law = {state: 1.0}
    for slot in slots:
        texts = onward(texts, lambda text, slot=slot: drawn_at(text, slot, law(text, slot)))  # type: ignore[misc]
    return texts


def hidden(text: State, slots: Sequence[int], rates: Sequence[float], mask: int) -> Law:
    """What becomes of a text where the tokens of these slots are hidden, each at its rate and on its own."""
    law: Law = {}
    for gone in itertools.product([False, True], repeat=len(slots)):
        share = np.prod([rate if hides else 1 - rate for rate, hides in zip(rates, gone, strict=True)])
        law[put(text, dict.fromkeys(itertools.compress(slots, gone), mask))] = float(share)
    return law


def distance(p: Law, q: Law) -> float:
    """Total variation."""
    return 0.5 * sum(abs(p.get(s, 0.0) - q.get(s, 0.0)) for s in p.keys() | q.keys())
