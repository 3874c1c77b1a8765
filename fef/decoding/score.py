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
from fef.decoding.requests import Requests

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
    """Logits of the targets, and drafts for what may come next that the same pass made.

    ahead_BGDV: draft logits of G groups; a group predicts the slots from window place anchor_BG on, given the canvas and
    the drafts before that place. A round that accepts exactly that many drafts goes on from such a group.
    """

    logits_BTV: Tensor
    ahead_BGDV: Tensor | None = None
    anchor_BG: Tensor | None = None

    def after(self, accepted_B: Tensor, commit_B: Tensor) -> tuple[Tensor, Tensor] | None:
        """Draft logits [B, A, V] for the slots behind the committed ones, and for which rows [B] there are any."""
        if self.ahead_BGDV is None or self.anchor_BG is None:
            return None
        found_BG = self.anchor_BG == accepted_B[:, None]
        group_BDV = self.ahead_BGDV[torch.arange(len(found_BG), device=found_BG.device), found_BG.long().argmax(1)]
        # the slot at the anchor itself is committed when a corrected or bonus token took it
        skip_B11 = (commit_B > accepted_B)[:, None, None]
        return torch.where(skip_B11, group_BDV[:, 1:], group_BDV[:, :-1]), found_BG.any(1)


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
