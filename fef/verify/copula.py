"""The law of a discrete copula (DCD, arXiv 2410.01949) by plain recursion over states, without `fef.decoding`."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import torch

from fef.verify.reference import Denoise, Table, hiding, law_at
from fef.verify.texts import Law, Pipeline, State, put

__all__ = ["copula_law"]


def copula_law(
    table: Table, causal: Denoise, start: State, passes: int, pipeline: Pipeline, *, suffix: bool = True
) -> Law:
    """The law of passes in which a causal model draws what is open, each token times the ratio of the network's laws on the
    canvas of the pass and on its part before the slot; between passes tokens are hidden as always. suffix: False leaves the
    ratio out."""
    open_ = [i for i, v in enumerate(start) if v == table.mask]
    law: Law = {start: 1.0}
    for k in range(passes, 0, -1):
        hide, _ = hiding(k, passes, 0.0)
        drawn: Law = defaultdict(float)
        for began, weight in law.items():
            going: Law = {began: weight}
            for i in [i for i in open_ if began[i] == table.mask]:
                before = put(began, dict.fromkeys(range(i, table.length), table.mask))
                ratio = table.at[began][i] / table.at[before][i] if suffix else np.ones(table.mask)
                onward: Law = defaultdict(float)
                for state, w in going.items():
                    product = law_at(causal(torch.tensor([state[:i]]))[0, -1], table.mask) * ratio
                    p = pipeline(product / product.sum())
                    for v in np.flatnonzero(p):
                        onward[put(state, {i: int(v)})] += w * float(p[v])
                going = onward
            fresh = [i for i in open_ if began[i] == table.mask]
            for text, w in going.items():
                for hidden in itertools.product([False, True], repeat=len(fresh)):
                    share = float(np.prod([hide if h else 1 - hide for h in hidden]))
                    if share > 0:
                        masks = [i for i, h in zip(fresh, hidden, strict=True) if h]
                        drawn[put(text, dict.fromkeys(masks, table.mask))] += w * share
        law = drawn
    return law
