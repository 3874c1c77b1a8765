"""The scorer of rounds whose targets are not the network's own: it drafts in one pass, and a judge has the law of each draft.

Shapes: B rows, L canvas length, W drafts, T targets, V vocabulary.
"""

from __future__ import annotations

import torch

from fef.decoding.canvas import written
from fef.decoding.network import Network
from fef.decoding.plan import Guidance, Judge
from fef.decoding.requests import Requests
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Prediction, PredictionRequest, Targets, VerificationRequest

__all__ = ["JudgedScorer"]


class JudgedScorer(RowsScorer):
    """Predictions are the network's own, targets are the judge's."""

    def __init__(self, network: Network, judge: Judge, count: int, device: torch.device) -> None:
        super().__init__(network, count, device, Guidance())
        self.judge = judge
        self.seen: Prediction | None = None  # what the round drafts from

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        self.seen = super().look(requests, look)
        return self.seen

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets:
        slots_BT = ask.slots_BS[:, : ask.count]
        draft_BW = ask.draft_BW[:, : ask.count]
        filled_BL = written(requests.canvas.ids_BL, slots_BT[:, : draft_BW.shape[1]], draft_BW)
        logits, hidden = (None, None) if self.seen is None else (self.seen.logits_BSV, self.seen.hidden_BSE)
        logits_BTV = self.judge.targets(filled_BL, slots_BT, logits, hidden, requests.meter)
        return Targets(self.network.check(logits_BTV, slots_BT, "judge"))
