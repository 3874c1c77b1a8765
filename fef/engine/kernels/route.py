"""Which experts each token runs through, and whose turn it is with each expert: two launches without a wait for the device.

The choice is that of `Router.choose`, one program per token; of equal experts the first is taken. The assignments are then
counted and placed, one program per expert, which is what a stable sort would give.

Shapes: S parts of a product (`linear.linear_parts`), T tokens, X experts, C chosen experts per token, A = T x C assignments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.overlap import wait_for_previous
from fef.models.config import MixtureConfig

__all__ = ["Assignments", "assign", "choose_experts"]

_BLOCK = 1024  # assignments that are looked at together


@dataclass(frozen=True)
class Assignments:
    """order_A: assignments (token x C + choice), sorted by expert. end_X: where those of each end. weight_TC: float32."""

    order_A: Tensor
    end_X: Tensor
    weight_TC: Tensor


def choose_experts(
    part_STX: Tensor, bias_X: Tensor | None, config: MixtureConfig, *, overlap: bool = False
) -> tuple[Tensor, Tensor]:
    """Ids int32 [T, C] and float32 weights [T, C] of the experts chosen by logits, which are given as parts of their sums."""
    S, T, X = part_STX.shape
    assert part_STX.is_contiguous() and config.experts == X, "one logit per expert, side by side"
    expert_TC = torch.empty(T, config.per_token, dtype=torch.int32, device=part_STX.device)
    weight_TC = torch.empty(T, config.per_token, dtype=torch.float32, device=part_STX.device)
    _choose_kernel[(T,)](
        part_STX,
        bias_X,
        expert_TC,
        weight_TC,
        T,
        config.scale,
        S=S,
        GROUPS=config.groups,
        EACH=X // config.groups,
        ROWS=triton.next_power_of_2(config.groups),
        LANES=triton.next_power_of_2(X // config.groups),
        KEPT=config.top_groups,
        CHOSEN=config.per_token,
        PLACES=triton.next_power_of_2(config.per_token),
        SOFTMAX=config.scores == "softmax",
        NORMALIZE=config.normalize,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=1,
    )
    return expert_TC, weight_TC


def assign(expert_TC: Tensor, weight_TC: Tensor, experts: int, *, overlap: bool = False) -> Assignments:
    """Sort what a router chose."""
    assert expert_TC.is_contiguous() and weight_TC.is_contiguous(), "choices of a token lie side by side"
    order_A = torch.empty(expert_TC.numel(), dtype=torch.int32, device=expert_TC.device)
    end_X = torch.empty(experts, dtype=torch.int32, device=expert_TC.device)
    _assign_kernel[(experts,)](
        expert_TC, order_A, end_X, len(order_A), BLOCK=_BLOCK, OVERLAP=overlap, launch_pdl=overlap, num_warps=4
    )
    return Assignments(order_A, end_X, weight_TC)


@triton.jit
def _first(found, numbers, behind):
    """The least number at which something was found; the last one where nothing was, as among logits that are no numbers."""
    return tl.minimum(tl.min(tl.min(tl.where(found, numbers, behind), axis=1), axis=0), behind - 1)


@triton.jit
def _choose_kernel(
    parts,
    bias,
    experts,
    weights,
    T,
    factor,
    S: tl.constexpr,
    GROUPS: tl.constexpr,
    EACH: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    KEPT: tl.constexpr,
    CHOSEN: tl.constexpr,
    PLACES: tl.constexpr,
    SOFTMAX: tl.constexpr,
    NORMALIZE: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    token = tl.program_id(0).to(tl.int64)
    X: tl.constexpr = GROUPS * EACH
    group = tl.arange(0, ROWS)[:, None]
    lane = tl.arange(0, LANES)[None, :]
    there = (group < GROUPS) & (lane < EACH)
    number = tl.where(there, group * EACH + lane, X)
    logits = tl.zeros((ROWS, LANES), dtype=tl.float32)
    for part in tl.static_range(S):
        logits += tl.load(parts + (part * T + token) * X + number, mask=there, other=0.0)
    if SOFTMAX:
        highest = tl.max(tl.max(tl.where(there, logits, float("-inf")), axis=1), axis=0)
        powers = tl.where(there, tl.exp(logits - highest), 0.0)
        scores = powers / tl.sum(tl.sum(powers, axis=1), axis=0)
    else:
        scores = 1.0 / (1.0 + tl.exp(-logits))
    choice = scores
    if bias is not None:
        choice += tl.load(bias + number, mask=there, other=0.0).to(tl.float32)
    choice = tl.where(there, choice, float("-inf"))
    if KEPT < GROUPS:  # a group is as good as the sum of its two best experts
        best = tl.max(choice, axis=1)[:, None]
        value = best
        if EACH > 1:
            first = tl.min(tl.where(choice == best, lane, LANES), axis=1)[:, None]
            value = best + tl.max(tl.where(lane == first, float("-inf"), choice), axis=1)[:, None]
        kept = tl.zeros((ROWS, 1), dtype=tl.int32)
        for _ in tl.static_range(KEPT):
            highest = tl.max(tl.max(value, axis=1), axis=0)
            taken = group == _first(value == highest, group, GROUPS)
            kept = tl.where(taken, 1, kept)
            value = tl.where(taken, float("-inf"), value)
        choice = tl.where(kept > 0, choice, float("-inf"))
    place = tl.arange(0, PLACES)
    chosen = tl.zeros((PLACES,), dtype=tl.int32)
    weight = tl.zeros((PLACES,), dtype=tl.float32)
    for i in tl.static_range(CHOSEN):
        highest = tl.max(tl.max(choice, axis=1), axis=0)
        expert = _first(choice == highest, number, X)
        score = tl.sum(tl.sum(tl.where(number == expert, scores, 0.0), axis=1), axis=0)
        chosen = tl.where(place == i, expert, chosen)
        weight = tl.where(place == i, score, weight)
        choice = tl.where(number == expert, float("-inf"), choice)
    if NORMALIZE:
        weight = weight / tl.maximum(tl.sum(weight, axis=0), 1e-20)
    mask = place < CHOSEN
    tl.store(experts + token * CHOSEN + place, chosen, mask=mask)
    tl.store(weights + token * CHOSEN + place, weight * factor, mask=mask)


@triton.jit
def _assign_kernel(experts, order, ends, A, BLOCK: tl.constexpr, OVERLAP: tl.constexpr):
    wait_for_previous(OVERLAP)
    own = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    behind = own * 0
    for first in range(0, A, BLOCK):
        expert = tl.load(experts + first + lane, mask=first + lane < A, other=own)
        behind += tl.sum((expert < own).to(tl.int32), axis=0)
    for first in range(0, A, BLOCK):
        mine = (tl.load(experts + first + lane, mask=first + lane < A, other=-1) == own).to(tl.int32)
        tl.store(order + behind + tl.cumsum(mine, axis=0) - 1, first + lane, mask=mine > 0)
        behind += tl.sum(mine, axis=0)
    tl.store(ends + own, behind)
