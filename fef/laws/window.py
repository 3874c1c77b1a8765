"""The window of a speculative round: how many drafts are worth verifying, and where the round likely ends.

Both follow from the chance that each draft holds. That chance is a function of history, never of a value drawn, and the
law of the text is the same for every window.

Shapes: B rows, W drafts, X = W + 1 numbers of drafts, A places, G groups, D slots per group, K drafts kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ANCHORS", "SURVIVAL", "chance_of_runs", "likely_ends", "next_drafts", "worthwhile"]

# What packed rounds do unless told otherwise: the fewest passes per token computed on all three families of problems.
ANCHORS = 0
SURVIVAL = 0.5


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


def next_drafts(
    start_BG: Tensor, depth: int, window: int, width_B: Tensor, accepted_B: Tensor, commit_B: Tensor, keep: int
) -> tuple[Tensor, Tensor]:
    """Where the drafts behind the committed slots come from: queries [B, K] of the round, and how many there are [B].

    Queries are the `window` targets and then G groups of `depth`; start_BG: window place where each group starts, -1 where
    it is absent. Of the group that starts nearest before the end of the round, else of the targets behind it, which a wrong
    draft misled.
    """
    member_K = torch.arange(keep, device=commit_B.device)
    nearest_B1 = torch.where(start_BG <= accepted_B[:, None], start_BG, -1).argmax(1, keepdim=True)
    begin_B1 = start_BG.gather(1, nearest_B1)
    skip_B1 = commit_B[:, None] - begin_B1
    in_group_B = (begin_B1[:, 0] >= 0) & (begin_B1[:, 0] <= accepted_B) & (skip_B1[:, 0] < depth)
    from_group_BK = window + nearest_B1 * depth + (skip_B1 + member_K).clamp(0, depth - 1)
    from_targets_BK = (commit_B[:, None] + member_K).clamp(max=max(window - 1, 0))
    source_BK = torch.where(in_group_B[:, None], from_group_BK, from_targets_BK)
    count_B = torch.where(in_group_B, depth - skip_B1[:, 0], (width_B - commit_B).clamp(min=0))
    return source_BK, count_B.clamp(max=keep)
