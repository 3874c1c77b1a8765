"""Scorers: the only part of the loop that runs the model. Each asks it under one law; `rows`, `stale`, `packed` hold them.

`look` gives the factorized prediction at slots (draws, drafts, or the target of the first slot); `targets` gives the law of
each slot given the drafts before it (verification).

Shapes: B rows, L canvas length, S slots, W drafts (the nodes of a tree, `fef.laws.tree`), X states of the tree, T slots that
targets are for, G draft groups, M slots of a group behind that of its state, Q queries, K drafts that are kept, C suspects, D
width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.carried import CarriedDrafts
from fef.decoding.requests import Requests
from fef.laws.accept import Accepted
from fef.laws.tree import Tree
from fef.laws.window import next_drafts

__all__ = ["Prediction", "PredictionRequest", "QueryStates", "Scorer", "Targets", "VerificationRequest", "row_lengths"]


@dataclass(frozen=True)
class PredictionRequest:
    """What to look at. slots_BS: open slots. suspects_BC: committed positions (-1: none). masked: look at each suspect as if
    its position were masked. together: by masks in the shadow of suspects and slots that see one another. checks_B: rows [B]
    that look at their suspects in this round. hidden: give final hidden states at the slots, too. apart: under visible noise,
    give the target of each slot, which counts its own site by its likelihood."""

    slots_BS: Tensor
    suspects_BC: Tensor | None = None
    masked: bool = True
    together: bool = False
    checks_B: Tensor | None = None
    hidden: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Prediction:
    """Logits at slots [B, S, V] and at suspects [B, C, V], and final hidden states at slots [B, S, E], as far as asked."""

    logits_BSV: Tensor
    suspect_BCV: Tensor | None = None
    hidden_BSE: Tensor | None = None


@dataclass(frozen=True)
class VerificationRequest:
    """What to verify in a round. Under the rows law the tree is a chain."""

    slots_BS: Tensor  # those of the depths of the tree, the bonus slot and the slots to draft ahead, in order
    draft_BW: Tensor  # the drafts
    tree: Tree  # whose nodes they are
    count: int  # T
    targets_B: Tensor  # of the first so many slots of each row
    known_B: Tensor | None = None  # rows [B] whose first target need not be computed
    ahead: int = 0  # slots to draft behind groups
    start_BG: Tensor | None = None  # states where draft groups start, if only some can be afforded

    @property
    def asked_BX(self) -> Tensor:
        """States whose targets are asked for."""
        asked_BX = self.tree.there_BX & (self.tree.depth_BX < self.targets_B[:, None])
        if self.known_B is not None:
            asked_BX[:, 0] &= ~self.known_B
        return asked_BX


@dataclass(frozen=True)
class QueryStates:
    """Final hidden states [B, Q, D] of the queries of a pass: those of the states of a tree, then of the members of draft
    groups, depth - 1 each. logits: makes those of queries, once it is known which are wanted."""

    hidden_BQD: Tensor
    depth: int
    logits: Callable[[Tensor], Tensor]

    def at(self, query_BK: Tensor) -> Tensor:
        return self.hidden_BQD.gather(1, query_BK[..., None].expand(-1, -1, self.hidden_BQD.shape[2]))


@dataclass
class Targets:
    """Logits of the targets at the states of a tree (the last of a chain may be left out), and drafts for what may come next
    that the same pass made: the logits of all, or the states of the queries."""

    logits_BXV: Tensor
    ahead_BGMV: Tensor | None = None  # draft logits of G groups behind the target of a state
    start_BG: Tensor | None = None  # state from which on a group drafts; -1: absent
    states: QueryStates | None = None

    def after(self, tree: Tree, accepted: Accepted, keep: int) -> CarriedDrafts | None:
        """Drafts for `keep` slots behind the committed ones."""
        if self.start_BG is None:
            return None
        if self.states is not None:
            source_BK, count_B = next_drafts(tree, self.start_BG, self.states.depth, accepted, keep)
            hidden_BKD = self.states.at(source_BK)
            last_state_B1 = accepted.path_BT.gather(1, (accepted.commit_B - 1).clamp(min=0)[:, None])
            lead_BD = self.states.at(last_state_B1)[:, 0]
            return CarriedDrafts(self.states.logits(hidden_BKD), count_B, hidden_BWD=hidden_BKD, lead_BD=lead_BD)
        assert self.ahead_BGMV is not None, "what groups drafted"
        source_BK, count_B = next_drafts(tree, self.start_BG, self.ahead_BGMV.shape[2] + 1, accepted, keep)
        source_BK1 = source_BK[..., None].expand(-1, -1, self.logits_BXV.shape[-1])
        states = tree.depth_BX.shape[1]
        target_BKV = self.logits_BXV.gather(1, source_BK1.clamp(max=self.logits_BXV.shape[1] - 1))
        group_BKV = self.ahead_BGMV.flatten(1, 2).gather(1, (source_BK1 - states).clamp(min=0))
        return CarriedDrafts(torch.where(source_BK1 < states, target_BKV, group_BKV), count_B)


class Scorer(Protocol):
    """Scores the rows of a batch; keeps what it knows of each row between passes, and counts passes in their meter."""

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Prediction | None:
        """The rows R of B open a denoising pass, of noise time `time_B`, in the slots `within_BL`. May predict `slots_RS`
        at no further cost."""
        ...

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        """One pass over the canvas."""
        ...

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets: ...

    def committed(self, commit_B: Tensor, accepted: Accepted | None = None) -> None:
        """So many of the slots asked for were committed; accepted: of a verification, what it accepted."""
        ...

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
