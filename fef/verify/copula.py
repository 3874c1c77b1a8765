"""The law of a discrete copula (DCD, arXiv 2410.01949) by plain recursion over states, without `fef.decoding`."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from fef.verify.reference import Denoise, Table, hiding, law_at
from fef.verify.texts import Array, Law, Pipeline, State, drawn_at, hidden, onward, put

__all__ = ["copula_law"]


def copula_law(
    table: Table, causal: Denoise, start: State, passes: int, pipeline: Pipeline, *, suffix: bool = True
) -> Law:
    """The law of passes in which a causal model draws what is open, each token times the ratio of the network's laws on the
    canvas of the pass and on its part before the slot; between passes tokens are hidden as always. suffix: False leaves the
    ratio out."""
    open_ = [i for i, v in enumerate(start) if v == table.mask]

    def pass_(began: State, hide: float) -> Law:
        fresh = [i for i in open_ if began[i] == table.mask]
        law: Law = {began: 1.0}
        for i in fresh:
            before = put(began, dict.fromkeys(range(i, table.length), table.mask))
            ratio = table.at[began][i] / table.at[before][i] if suffix else np.ones(table.mask)
            law = onward(law, partial(drawn, slot=i, ratio=ratio))
        return onward(law, lambda text: hidden(text, fresh, [hide] * len(fresh), table.mask))

    def drawn(state: State, slot: int, ratio: Array) -> Law:
        product = law_at(causal(torch.tensor([state[:slot]]))[0, -1], table.mask) * ratio
        return drawn_at(state, slot, pipeline(product / product.sum()))

    law: Law = {start: 1.0}
    for k in range(passes, 0, -1):
        law = onward(law, partial(pass_, hide=hiding(k, passes, 0.0)[0]))
    return law
