"""Texts under grammars in packed rounds: what the states of a round may go on with.

A pass leaves drafts for the next one, and what the grammar allows behind none, one, .. all of them (`packed_drafts`). The
next pass puts that on the laws of all its states at once. So the host has to know what a pass drew before the next one
begins: this is for passes that run on the host.

Shapes: B rows of a pass, Q queries of a row, N queries of all rows, n those under grammars, X states of the tree, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fef.errors import FefError, GrammarError
from fef.grammar.text import CORNERED, Allowed, GrammarText
from fef.laws.pipeline import constrained

__all__ = ["PackedText", "drawn_queries", "legal"]


class PackedText:
    """The text of one request. log_mass: as in `fef.decoding.grammar`. allowed: what may stand behind none, one, .. all of
    the drafts that wait. error: why it cannot go on."""

    def __init__(self, text: GrammarText) -> None:
        self.text, self.log_mass = text, 0.0
        self.tokens: list[int] = []
        self.allowed: list[Allowed] = []
        self.error: FefError | None = None

    def begin(self) -> None:
        """A denoising pass begins, without drafts."""
        self.allowed = [self.behind([])]

    def behind(self, drafts: Sequence[int]) -> Allowed:
        """What is allowed behind drafts, which are allowed; everything where the grammar was given up."""
        if self.error is None:
            try:
                return self.text.allowed_behind(drafts)
            except FefError as error:
                self.error = error
        return np.ones(self.text.size, dtype=np.bool_)

    def read(self, tokens: Sequence[int], log_mass: float) -> bool:
        """Go on by committed tokens. Does the grammar allow them?"""
        self.tokens += tokens
        self.log_mass += log_mass
        if self.error is None:
            try:
                if not self.text.follow(self.tokens):
                    self.error = GrammarError(CORNERED)
            except FefError as error:
                self.error = error
        return self.error is None

    def only(self, allowed_V: Allowed) -> int | None:
        """The token that alone is allowed, unless it ends the text."""
        at = int(allowed_V.argmax())
        return at if at not in self.text.vocabulary.end_ids and np.count_nonzero(allowed_V) == 1 else None


def drawn_queries(valid_BQ: Tensor, states: int, texts: Mapping[int, PackedText]) -> Tensor:
    """The queries at which something is drawn [B, Q]: of rows under grammars the states alone, since the drafts behind them
    wait for those before."""
    drawn_BQ = valid_BQ.clone()
    drawn_BQ[list(texts), states:] = False
    return drawn_BQ


def legal(
    logits_NV: Tensor, row_N: Tensor, query_N: Tensor, depth_BX: Tensor, texts: Mapping[int, PackedText], banned: Tensor
) -> Tensor:
    """Logits under what grammars allow, all states at once. depth_BX: of each state, whose query has its number."""
    depth_N = depth_BX[row_N, query_N.clamp(max=depth_BX.shape[1] - 1)].tolist()
    under = [
        (n, row, depth) for n, (row, depth) in enumerate(zip(row_N.tolist(), depth_N, strict=True)) if row in texts
    ]
    allowed_nV = torch.from_numpy(np.stack([texts[row].allowed[depth] for _, row, depth in under]))
    if len(under) == len(logits_NV):
        return constrained(logits_NV, allowed_nV, banned)
    entry_n = torch.tensor([n for n, _, _ in under])
    return logits_NV.index_copy(0, entry_n, constrained(logits_NV[entry_n], allowed_nV, banned))
