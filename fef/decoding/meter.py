"""What a decode cost, a row: forward calls, rows, tokens, rounds, drafts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Meter"]

COUNTERS = ("calls", "rows", "token_forwards", "rounds", "drafted", "accepted", "committed")


@dataclass
class Meter:
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
        return cls(**{name: torch.zeros(count, dtype=torch.int64, device=device) for name in COUNTERS})

    def pass_(self, sequences_B: Tensor, tokens_B: Tensor) -> None:
        """One forward pass: sequences and tokens of each row. A row with no sequence is not billed."""
        self.calls += sequences_B > 0
        self.rows += sequences_B
        self.token_forwards += torch.where(sequences_B > 0, tokens_B, 0)

    def select(self, rows: Tensor) -> Meter:
        return Meter(**{name: getattr(self, name)[rows] for name in COUNTERS})

    def join(self, other: Meter) -> Meter:
        return Meter(**{name: torch.cat([getattr(self, name), getattr(other, name)]) for name in COUNTERS})

    def put(self, rows: Tensor, part: Meter) -> None:
        """Write back rows that were taken out by `select`."""
        for name in COUNTERS:
            getattr(self, name)[rows] = getattr(part, name)

    def row(self, index: int) -> dict[str, int]:
        return {name: int(getattr(self, name)[index]) for name in COUNTERS}
