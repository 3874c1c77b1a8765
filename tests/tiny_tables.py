"""Tiny tables and their canvases, and the law of LLaDA's own rule on them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fef.models.table import TableDenoiser
from fef.verify.reference import Table
from fef.verify.tables import random_joint
from fef.verify.texts import Array, Law, Pipeline, State, put, to_the_end

K, L = 3, 4
MASK = K
EMPTY = (MASK,) * L


def consistent() -> TableDenoiser:
    return TableDenoiser(random_joint(K, L))


def inconsistent() -> TableDenoiser:
    return TableDenoiser.inconsistent(K, L, seed=0)


TABLES = {"consistent": consistent, "inconsistent": inconsistent}


def empty_rows(count: int, length: int = L, mask: int = MASK) -> Tensor:
    return torch.full((count, length), mask)


@dataclass(frozen=True)
class EndingTable(Table):
    """Behind an end token comes nothing else, and before another token none: so an end that is there fills what is behind it
    before a pass begins."""

    end: int = 0
    first: int = 0  # of the slots to fill: an end before it is a part of the prompt

    @classmethod
    def of(cls, table: Table, end: int | None, first: int = 0) -> Table:
        return table if end is None else cls(table.at, table.mask, table.length, end, first)

    def law(self, state: State, slot: int) -> Array:
        law = super().law(state, slot)
        if self.end in state[self.first : slot]:
            certain: Array = np.eye(len(law))[self.end]
            return certain
        if any(v not in (self.end, self.mask) for v in state[slot + 1 :]):
            law = np.where(np.arange(len(law)) == self.end, 0.0, law)
        return np.asarray(law / law.sum())

    def begun(self, state: State, within: Sequence[int]) -> State:
        ended = [self.end in state[self.first : i] for i in range(len(state))]
        return tuple(self.end if ended[i] and v == self.mask and i in within else v for i, v in enumerate(state))


def low_confidence_law(table: Table, start: State, pipeline: Pipeline) -> Law:
    """LLaDA's default: draw at every slot, keep the draw of highest probability at temperature 1.

    This choice looks at drawn values, so its order is not an adapted one (docs/laws.md) and no chain law is sampled at
    temperatures above 0.
    """

    def step(state: State) -> Law | None:
        slots = [i for i, v in enumerate(state) if v == table.mask]
        if not slots:
            return None
        laws = [pipeline(table.at[state][i]) for i in slots]
        after: Law = {}
        for draw in itertools.product(*(np.flatnonzero(p) for p in laws)):
            surest = max(zip(slots, draw, strict=True), key=lambda at: table.at[state][at[0]][at[1]])
            text = put(state, dict([surest]))
            after[text] = after.get(text, 0.0) + float(np.prod([p[v] for p, v in zip(laws, draw, strict=True)]))
        return after

    return to_the_end({start: 1.0}, step)
