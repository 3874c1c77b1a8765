"""The scorer of rounds whose targets are not the network's own: it drafts in one pass, and a judge has the law of each draft.

Shapes: B rows, L canvas length, W drafts, T targets, R rows that begin a pass, N canvases, P positions asked of each, V
vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import written
from fef.decoding.network import Network
from fef.decoding.plan import Drafted, Guidance, Judge
from fef.decoding.requests import Requests
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Prediction, PredictionRequest, Targets, VerificationRequest, row_lengths

__all__ = ["JudgedScorer"]


class JudgedScorer(RowsScorer):
    """Predictions are the network's own, targets are the judge's."""

    def __init__(self, network: Network, judge: Judge, count: int, device: torch.device) -> None:
        super().__init__(network, count, device, Guidance())
        self.judge = judge
        self.seen: Prediction | None = None  # what the round drafts from
        self.began_BL = torch.zeros(count, 0, dtype=torch.int64, device=device)  # canvases when their pass began

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Prediction | None:
        index_L = torch.arange(requests.canvas.ids_BL.shape[1], device=rows.device)
        behind_BL = index_L >= row_lengths(requests.canvas)[:, None]
        ids_BL = requests.canvas.ids_BL.masked_fill(behind_BL, self.network.mask_id)  # padding says nothing
        if self.began_BL.shape != ids_BL.shape:
            self.began_BL = ids_BL.clone()
        self.began_BL = self.began_BL.index_copy(0, rows, ids_BL[rows])
        return super().pass_began(requests, rows, slots_RS, within_BL, time_B)

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        self.seen = super().look(requests, look)
        return self.seen

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets:
        slots_BT = ask.slots_BS[:, : ask.count]
        draft_BW = ask.draft_BW[:, : ask.count]
        filled_BL = written(requests.canvas.ids_BL, slots_BT[:, : draft_BW.shape[1]], draft_BW)
        logits, hidden = (None, None) if self.seen is None else (self.seen.logits_BSV, self.seen.hidden_BSE)
        drafted = Drafted(
            filled_BL,
            slots_BT,
            logits,
            hidden,
            self.began_BL,
            lambda states_BNL, at_BNP: self.score(requests, states_BNL, None, at_BNP),
            requests.meter,
        )
        return Targets(self.network.check(self.judge.targets(drafted), slots_BT, "judge"))

    def grow(self, count: int) -> None:
        super().grow(count)
        self.began_BL = torch.nn.functional.pad(self.began_BL, (0, 0, 0, count))

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self.began_BL = self.began_BL[rows]
