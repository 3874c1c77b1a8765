"""Laws at slots, normalised as far as they are read: most rules read the largest probability and that of one token, and a
whole law is a float64 copy of all its logits.

Shapes: B rows, S slots, N slots of all rows in one axis, V vocabulary.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Law"]

_ENTRIES = 1 << 24  # float64 numbers held at once


class Law:
    """logits_BSV: floats of any type, -inf where a token cannot be."""

    def __init__(self, logits_BSV: Tensor) -> None:
        self.logits_BSV = logits_BSV

    @cached_property
    def best_BS(self) -> Tensor:
        """The largest log probability; float64, nats."""
        logits_NV = self.logits_BSV.flatten(0, 1)
        size = max(1, _ENTRIES // logits_NV.shape[1])
        # `log_softmax` adds up each row alone, where the order of a sum over rows follows from how many there are
        best = [
            logits_NV[start : start + size].double().log_softmax(-1).amax(-1)
            for start in range(0, len(logits_NV), size)
        ]
        return torch.cat(best).view(self.logits_BSV.shape[:2])

    @property
    def confidence_BS(self) -> Tensor:
        """Largest probability; float64."""
        return self.best_BS.exp()

    def mass_BS(self, count: int) -> Tensor:
        """Probability of the `count` likeliest tokens together; float64."""
        return self.confidence_BS if count == 1 else self.logp_BSV.topk(count).values.exp().sum(-1)

    def at(self, tokens_BS: Tensor) -> Tensor:
        """Log probability of one token of each slot; float64, nats."""
        logit_BS = self.logits_BSV.gather(-1, tokens_BS[..., None])[..., 0].double()
        return logit_BS - self.logits_BSV.amax(-1).double() + self.best_BS

    @cached_property
    def logp_BSV(self) -> Tensor:
        """All log probabilities; float64, nats."""
        return self.logits_BSV.double().log_softmax(-1)

    def without(self, ids: Tensor) -> Law:
        """The law of a token that is none of these."""
        return Law(self.logits_BSV.index_fill(-1, ids, -torch.inf))
