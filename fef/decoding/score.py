"""Scorers: the only part of the loop that runs the model. Each asks it under one law; `rows`, `stale`, `packed` hold them.

`look` gives the factorized prediction at slots (draws, drafts, or the target of the first slot); `targets` gives the law of
each slot given the drafts before it (verification).

Shapes: B rows, L canvas length, S slots, W drafts, T targets (W, or W + 1 with a bonus slot), A slots drafted ahead, G draft
groups, D slots per group, C suspects, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.carried import CarriedDrafts
from fef.decoding.requests import Requests
from fef.laws.accept import Accepted
from fef.laws.window import next_drafts

__all__ = ["Prediction", "PredictionRequest", "Scorer", "Targets", "VerificationRequest", "row_lengths"]


@dataclass(frozen=True)
class PredictionRequest:
    """What to look at. slots_BS: open slots. suspects_BC: committed positions (-1: none). masked: look at each suspect as if
    its position were masked. together: by masks in the shadow of suspects and slots that see one another. checks_B: rows [B]
    that look at their suspects in this round. hidden: give final hidden states at the slots, too."""

    slots_BS: Tensor
    suspects_BC: Tensor | None = None
    masked: bool = True
    together: bool = False
    checks_B: Tensor | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Prediction:
    """Logits at slots [B, S, V] and at suspects [B, C, V], and final hidden states at slots [B, S, E], as far as asked."""

    logits_BSV: Tensor
    suspect_BCV: Tensor | None = None
    hidden_BSE: Tensor | None = None


@dataclass(frozen=True)
class VerificationRequest:
    """What to verify in a round."""

    slots_BS: Tensor  # the window, the bonus slot and the slots to draft ahead, in order
    draft_BW: Tensor  # the drafts
    width_B: Tensor  # drafts of each row, at most W
    count: int  # T
    targets_B: Tensor  # targets of each row
    known_B: Tensor | None = None  # rows [B] whose first target need not be computed
    ahead: int = 0  # slots to draft behind the anchors
    anchor_BG: Tensor | None = None  # window places behind which to draft, if only some can be afforded


@dataclass
class Targets:
    """Logits of the targets, and drafts for what may come next that the same pass made."""

    logits_BTV: Tensor
    ahead_BGDV: Tensor | None = None  # draft logits of G groups, each of D slots
    start_BG: Tensor | None = None  # window place from which on a group drafts, given the drafts before it; -1: absent

    def after(self, window: int, width_B: Tensor, accepted: Accepted) -> CarriedDrafts | None:
        """Drafts for the slots behind the committed ones."""
        if self.ahead_BGDV is None or self.start_BG is None:
            return None
        depth = self.ahead_BGDV.shape[2]
        accepted_B, commit_B = accepted.accepted_B, accepted.commit_B
        source_BW, count_B = next_drafts(self.start_BG, depth, window, width_B, accepted_B, commit_B, window)
        source_BW1 = source_BW[..., None].expand(-1, -1, self.logits_BTV.shape[-1])
        target_BWV = self.logits_BTV.gather(1, source_BW1.clamp(max=window - 1))
        group_BWV = self.ahead_BGDV.flatten(1, 2).gather(1, (source_BW1 - window).clamp(min=0))
        return CarriedDrafts(torch.where(source_BW1 < window, target_BWV, group_BWV), count_B)


class Scorer(Protocol):
    """Scores the rows of a batch; keeps what it knows of each row between passes, and counts passes in their meter."""

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Tensor | None:
        """The rows R of B open a denoising pass, of noise time `time_B`, in the slots `within_BL`. May give draft logits
        [R, S, V] for `slots_RS` at no further cost."""
        ...

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        """One pass over the canvas."""
        ...

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets: ...

    def committed(self, slots_BS: Tensor, accepted_B: Tensor, commit_B: Tensor) -> None: ...

    def grow(self, count: int) -> None:
        """Append rows, each a request of which nothing is known."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep only these rows."""
        ...


def row_lengths(canvas: Canvas) -> Tensor:
    if canvas.lengths_B is not None:
        return canvas.lengths_B
    return torch.full_like(canvas.ids_BL[:, 0], canvas.ids_BL.shape[1])
