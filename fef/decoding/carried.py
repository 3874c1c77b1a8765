"""Drafts that a round leaves for the next one.

Shapes: B rows, R of them, W drafts, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.decoding.records import RowRecord

__all__ = ["ASK_ANEW", "CarriedDrafts"]

ASK_ANEW = -1  # in place of a number of drafts: nothing was left, and the network must be asked


@dataclass
class CarriedDrafts(RowRecord):
    """Draft logits at the next slots of each row. The packed law also leaves what a draft head reads: final hidden states
    there, and at the query whose draw the last committed token is."""

    logits_BWV: Tensor
    count_B: Tensor  # slots that they are for, or ASK_ANEW
    first_B1V: Tensor | None = None  # logits of the target of the next slot; the drafts are then for those behind it
    known_B: Tensor | None = None  # in which rows it is known
    hidden_BWD: Tensor | None = None
    lead_BD: Tensor | None = None
    last_B: Tensor | None = None  # position of the last committed token

    @classmethod
    def none(cls, rows: int, like_RWV: Tensor, hidden_RWD: Tensor | None = None) -> CarriedDrafts:
        """Nothing for that many rows."""
        count_B = torch.full((rows,), ASK_ANEW, device=like_RWV.device)
        found = cls(like_RWV.new_zeros(rows, *like_RWV.shape[1:]), count_B)
        if hidden_RWD is not None:
            found.hidden_BWD = hidden_RWD.new_zeros(rows, *hidden_RWD.shape[1:])
            found.lead_BD = hidden_RWD.new_zeros(rows, hidden_RWD.shape[2])
            found.last_B = torch.zeros_like(count_B)
        return found

    def forget(self, rows_B: Tensor) -> CarriedDrafts:
        """Without those of the rows in a mask."""
        return replace(self, count_B=self.count_B.masked_fill(rows_B, ASK_ANEW))

    def opened(self, rows: Tensor, logits_RXV: Tensor, hidden_RXD: Tensor | None) -> CarriedDrafts:
        """With what the context passes of these rows have left: the target of the first slot, and drafts behind it."""
        first_B1V, known_B = self.first_B1V, self.known_B
        if first_B1V is None or known_B is None:
            first_B1V, known_B = torch.zeros_like(self.logits_BWV[:, :1]), torch.zeros_like(self.count_B).bool()
        found = CarriedDrafts(
            logits_BWV=self.logits_BWV.index_copy(0, rows, logits_RXV[:, 1:]),
            count_B=self.count_B.index_fill(0, rows, logits_RXV.shape[1] - 1),
            first_B1V=first_B1V.index_copy(0, rows, logits_RXV[:, :1]),
            known_B=known_B.index_fill(0, rows, True),
            last_B=self.last_B,
        )
        if hidden_RXD is not None and self.hidden_BWD is not None and self.lead_BD is not None:
            found.hidden_BWD = self.hidden_BWD.index_copy(0, rows, hidden_RXD[:, 1:])
            found.lead_BD = self.lead_BD.index_copy(0, rows, hidden_RXD[:, 0])
        return found

    def drawn(self, slots_B1: Tensor) -> CarriedDrafts:
        """Once the targets that were known have been drawn, at these slots."""
        last_B = None if self.last_B is None else torch.where(slots_B1[:, 0] >= 0, slots_B1[:, 0], self.last_B)
        return replace(self, first_B1V=None, known_B=None, last_B=last_B)

    def behind(self, slots_BT: Tensor, commit_B: Tensor) -> CarriedDrafts:
        """The same, where so many of these slots were committed."""
        return replace(self, last_B=slots_BT.gather(1, (commit_B - 1).clamp(min=0)[:, None])[:, 0])

    def grow(self, count: int) -> CarriedDrafts:
        """With rows behind, for which nothing was left."""
        grown: dict[str, Any] = {
            name: None if value is None else torch.cat([value, value.new_zeros(count, *value.shape[1:])])
            for name, value in vars(self).items()
        }
        return CarriedDrafts(**grown | {"count_B": pad(self.count_B, (0, count), value=ASK_ANEW)})
