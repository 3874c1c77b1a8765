"""How many tokens a pass commits, from the drafts and the targets of one training pass: no text has to be decoded for it.

Drafts of a group are accepted one after the other, each with the overlap of its law with the target's (speculative sampling,
2211.17192, section 3.1), and behind the accepted ones a pass commits one more. At a held-out text both laws are known.
Shapes: T places of a flat row, P slots of all its canvases, group by group, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fef.training.cross_entropy import CHUNK
from fef.training.flat import Flat

__all__ = ["committed", "overlaps", "tokens_per_pass"]


@torch.no_grad()
def tokens_per_pass(hidden_TD: Tensor, head_VD: Tensor, flat: Flat) -> Tensor:
    """The mean over the groups of drafts of a flat row, whose passes are taken to begin where the groups do."""
    # canvases follow each other, and the targets and the drafts of one have the order of its slots
    target_P, draft_P = (flat.weights[name].nonzero()[:, 0] for name in ("target", "draft"))
    accept_P = overlaps(hidden_TD[target_P], hidden_TD[draft_P], head_VD)
    return committed(accept_P, flat.intervals.first_T[draft_P])


def overlaps(first_PD: Tensor, second_PD: Tensor, head_VD: Tensor) -> Tensor:
    """The sum over all tokens of the smaller one of two probabilities, [P], float32."""

    def law_CV(hidden_CD: Tensor) -> Tensor:
        return F.linear(hidden_CD, head_VD.to(hidden_CD.dtype)).float().softmax(-1)

    pairs = zip(torch.split(first_PD, CHUNK), torch.split(second_PD, CHUNK), strict=True)
    return torch.cat([torch.minimum(law_CV(a_CD), law_CV(b_CD)).sum(-1) for a_CD, b_CD in pairs])


def committed(accept_P: Tensor, group_P: Tensor) -> Tensor:
    """Mean tokens per group: the first one for certain, each later one if all drafts before it are accepted. group_P: a
    number that neighbours have in common where they are of one group."""
    begins_P = torch.ones_like(group_P, dtype=torch.bool)
    begins_P[1:] = group_P[1:] != group_P[:-1]
    before_P = accept_P.double().clamp(min=1e-30).log().roll(1).masked_fill(begins_P, 0.0)
    log_P = before_P.cumsum(0)
    start_P = torch.where(begins_P, torch.arange(len(group_P), device=group_P.device), 0).cummax(0).values
    return (log_P - log_P[start_P]).exp().sum() / begins_P.sum().clamp(min=1)
