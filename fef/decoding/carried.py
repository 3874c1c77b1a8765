"""Drafts that a round leaves for the next one.

Shapes: B rows, R of them, W drafts, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.records import RowRecord

__all__ = ["ASK_ANEW", "CarriedDrafts"]

ASK_ANEW = -1  # in place of a number of drafts: nothing was left, and the network must be asked


@dataclass
class CarriedDrafts(RowRecord):
    """Draft logits at the next slots of each row."""

    logits_BWV: Tensor
    count_B: Tensor  # slots that they are for, or ASK_ANEW
    first_B1V: Tensor | None = None  # logits of the target of the next slot; the drafts are then for those behind it
    known_B: Tensor | None = None  # in which rows it is known

    @classmethod
    def none(cls, rows: int, like_RWV: Tensor) -> CarriedDrafts:
        """Nothing for that many rows."""
        logits_BWV = like_RWV.new_zeros(rows, *like_RWV.shape[1:])
        return cls(logits_BWV, torch.full((rows,), ASK_ANEW, device=like_RWV.device))

    def forget(self, rows_B: Tensor) -> CarriedDrafts:
        """Without those of the rows in a mask."""
        count_B = self.count_B.masked_fill(rows_B, ASK_ANEW)
        return CarriedDrafts(self.logits_BWV, count_B, self.first_B1V, self.known_B)

    def opened(self, rows: Tensor, logits_RXV: Tensor) -> CarriedDrafts:
        """With what the context passes of these rows have left: the target of the first slot, and drafts behind it."""
        first_B1V, known_B = self.first_B1V, self.known_B
        if first_B1V is None or known_B is None:
            first_B1V, known_B = torch.zeros_like(self.logits_BWV[:, :1]), torch.zeros_like(self.count_B).bool()
        return CarriedDrafts(
            logits_BWV=self.logits_BWV.index_copy(0, rows, logits_RXV[:, 1:]),
            count_B=self.count_B.index_fill(0, rows, logits_RXV.shape[1] - 1),
            first_B1V=first_B1V.index_copy(0, rows, logits_RXV[:, :1]),
            known_B=known_B.index_fill(0, rows, True),
        )

    def grow(self, count: int) -> CarriedDrafts:
        """With rows behind, for which nothing was left."""
        every_B = torch.arange(len(self.count_B), device=self.count_B.device)
        grown = CarriedDrafts.none(len(every_B) + count, self.logits_BWV)
        grown.logits_BWV[every_B], grown.count_B[every_B] = self.logits_BWV, self.count_B
        if self.first_B1V is not None and self.known_B is not None:
            grown.first_B1V = torch.cat([self.first_B1V, torch.zeros_like(grown.logits_BWV[:count, :1])])
            grown.known_B = torch.nn.functional.pad(self.known_B, (0, count))
        return grown
