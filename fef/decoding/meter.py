"""What a decode cost, per row: forward calls, rows, tokens, rounds, drafts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fef.decoding.records import RowRecord

__all__ = ["Meter"]


@dataclass
class Meter(RowRecord):
    """Counters, int64 [B] each, of the rows of a batch."""

    calls: Tensor  # forward passes of any kind (context, draft, verify) that served the row; a batched pass is one call
    rows: Tensor  # sequences in those passes
    token_forwards: Tensor  # tokens computed for them
    rounds: Tensor  # of drafts and verification
    drafted: Tensor  # drafts put to the verifier
    accepted: Tensor  # drafts kept
    committed: Tensor  # tokens decided up to and including EOS, again in each denoising pass that decides them again

    @classmethod
    def start(cls, count: int, device: torch.device) -> Meter:
        return cls(**{f.name: torch.zeros(count, dtype=torch.int64, device=device) for f in fields(cls)})

    def pass_(self, sequences_B: Tensor, tokens_B: Tensor) -> None:
        """One forward pass: sequences and tokens of each row. A row with no sequence is not billed."""
        self.calls += sequences_B > 0
        self.rows += sequences_B
        self.token_forwards += torch.where(sequences_B > 0, tokens_B, 0)

    def put(self, rows: Tensor, part: Meter) -> None:
        """Write back rows that were taken out by `select`."""
        for name, counter in vars(self).items():
            counter[rows] = getattr(part, name)

    def counts(self) -> list[dict[str, int]]:
        """The counters of each row, in one read."""
        table_BF = torch.stack(list(vars(self).values()), 1)
        return [dict(zip(vars(self), row_F, strict=True)) for row_F in table_BF.tolist()]
