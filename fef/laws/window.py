"""The window of a speculative round: how many drafts are worth verifying, and where the round likely ends.

Both follow from the chance that each draft holds. That chance is a function of history, never of a value drawn, and the
law of the text is the same for every window.

Shapes: B rows, W drafts, X = W + 1 numbers of drafts, A places.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["chance_of_runs", "likely_ends", "worthwhile"]


def chance_of_runs(holds_BW: Tensor) -> Tensor:
    """Chance [B, X] that the first 0, 1, .., W drafts all hold, where draft i holds with chance holds_BW[:, i]."""
    return torch.nn.functional.pad(holds_BW.cumprod(1), (1, 0), value=1.0)


def worthwhile(chance_BX: Tensor, survival: float) -> Tensor:
    """How many drafts [B] are worth verifying: those reached, all before them holding, with a chance of at least `survival`.

    A window that ends where the round is likely to end has the next drafts ready behind it.
    """
    return (chance_BX[:, :-1] >= survival).sum(1)


def likely_ends(chance_BX: Tensor, width_B: Tensor, count: int) -> Tensor:
    """The `count` places [B, A] of the first `width_B` where a round most likely meets its first rejection, the likeliest
    first; -1 where there is none. A is at most W."""
    ends_BW = chance_BX[:, :-1] - chance_BX[:, 1:]
    place_W = torch.arange(ends_BW.shape[1], device=ends_BW.device)
    ends_BW = ends_BW.masked_fill(place_W >= width_B[:, None], 0.0)
    chance_BA, place_BA = ends_BW.topk(min(count, ends_BW.shape[1]), dim=1)
    return torch.where(chance_BA > 0, place_BA, -1)
