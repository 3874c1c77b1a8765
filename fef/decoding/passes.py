"""Denoising passes: where each row is in its sequence of them, and what lies between one and the next.

A row draws every open slot of a block `plan.steps` times over, with noise in between; then comes its next block.

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.order import block_numbers
from fef.decoding.plan import Plan
from fef.decoding.records import RowRecord
from fef.decoding.remask import first_noise, remask
from fef.decoding.requests import Requests
from fef.laws.noise import Schedule, SiteNoise

__all__ = ["PassState", "next_passes", "noise_of", "open_passes"]


@dataclass
class PassState(RowRecord):
    """Where each row is in its sequence of denoising passes."""

    block_BL: Tensor  # block of every open slot, -1 elsewhere
    block_B: Tensor  # the block that the row is in, behind its last one when the row is complete
    k_B: Tensor  # its denoising pass there, from `plan.steps` down to 1
    opened_BL: Tensor  # slots that were to be drawn when the pass began
    masks_B: Tensor  # how many of them no end token decided
    attempt_B: Tensor  # rounds done in the pass
    unchecked_BL: Tensor  # committed tokens that the revoke rule has still to look at
    blocks_B: Tensor  # blocks that a row has
    within_BL: Tensor  # open slots of the block that a row is in
    complete_B: Tensor  # rows behind their last block

    @classmethod
    def before_the_first(cls, canvas: Canvas, plan: Plan) -> PassState:
        """As if a block before the first one had just been finished."""
        block_BL = block_numbers(canvas.open_BL, plan.block_length, plan.aligned_blocks)
        zero_B, no_BL = torch.zeros_like(block_BL[:, 0]), torch.zeros_like(canvas.open_BL)
        never_B = torch.zeros_like(zero_B, dtype=torch.bool)
        return cls(
            block_BL=block_BL,
            block_B=zero_B - 1,
            k_B=zero_B + 1,
            opened_BL=no_BL,
            masks_B=zero_B.clone(),
            attempt_B=zero_B.clone(),
            unchecked_BL=no_BL.clone(),
            blocks_B=block_BL.amax(1) + 1,
            within_BL=no_BL,
            complete_B=never_B,
        )

    def enter(self, block_B: Tensor, block_BL: Tensor | None = None) -> None:
        """Put every row into a block, and perhaps slots into other blocks."""
        self.block_B = block_B
        self.block_BL = self.block_BL if block_BL is None else block_BL
        self.within_BL = (self.block_BL >= 0) & (self.block_BL == block_B[:, None])
        self.complete_B = block_B >= self.blocks_B

    def active_B(self, canvas: Canvas) -> Tensor:
        """Rows with something left to draw or to check in their pass."""
        return (canvas.pending_BL & self.within_BL | self.unchecked_BL).any(1)


def noise_of(plan: Plan, process: SiteNoise) -> SiteNoise:
    """A network's noise with the plan's schedule, which holds wherever keep probabilities are read."""
    return type(process)(**(vars(process) | {"schedule": Schedule(plan.schedule)}))


def next_passes(state: PassState, requests: Requests, plan: Plan, process: SiteNoise) -> Tensor | None:
    """Take rows whose pass is over to their next one that has something to draw, or to the end. Returns which began one,
    a mask [B], or None where no pass was over."""
    over_B = ~(state.active_B(requests.canvas) | state.complete_B)
    ended_B = None
    while bool(over_B.any()):
        ended_B = over_B if ended_B is None else ended_B
        attempt_B = state.attempt_B
        close_passes(state, requests, plan, process, over_B)
        open_passes(state, requests, over_B & ~state.complete_B)
        if plan.stays_open:  # slots of earlier blocks are drawn again in this one, with other noise than there
            state.attempt_B = attempt_B
        over_B = over_B & ~(state.active_B(requests.canvas) | state.complete_B)
    return None if ended_B is None else ended_B & ~state.complete_B


def close_passes(state: PassState, requests: Requests, plan: Plan, process: SiteNoise, over_B: Tensor) -> None:
    """What follows a pass that these rows, a mask [B], have finished: noise, or another block."""
    canvas, noise, within_BL = requests.canvas, requests.noise, state.within_BL
    drawn_BL = state.opened_BL & over_B[:, None]
    counted_BL = drawn_BL if requests.eos is None else drawn_BL & requests.eos.up_to_end(canvas)
    requests.meter.committed += counted_BL.sum(1)
    again_B = over_B & (state.k_B > 1)
    for k in sorted(set(state.k_B[again_B].tolist())):
        of_k_B1 = (again_B & (state.k_B == k))[:, None]
        remask(canvas, drawn_BL & of_k_B1, within_BL & of_k_B1, plan, process, noise, k)
    onward_B = over_B & ~again_B
    block_B, block_BL = state.block_B + onward_B, state.block_BL
    if plan.stays_open:
        last_B1 = torch.minimum(block_B, state.blocks_B - 1)[:, None]
        block_BL = torch.where(block_BL >= 0, block_BL.maximum(last_B1), block_BL)
    state.enter(block_B, block_BL)
    state.k_B = torch.where(again_B, state.k_B - 1, state.k_B).masked_fill(onward_B & ~state.complete_B, plan.steps)
    fresh_BL = state.within_BL & onward_B[:, None]
    if bool(fresh_BL.any()):
        first_noise(canvas, fresh_BL, process, noise)


def open_passes(state: PassState, requests: Requests, rows_B: Tensor) -> None:
    """These rows, a mask [B], begin the pass that they are in."""
    canvas, within_BL = requests.canvas, state.within_BL
    state.opened_BL = torch.where(rows_B[:, None], canvas.pending_BL & within_BL, state.opened_BL)
    if requests.eos is not None:
        requests.eos.settle(canvas, within_BL & rows_B[:, None])
    state.masks_B = torch.where(rows_B, (canvas.pending_BL & within_BL).sum(1), state.masks_B)
    state.attempt_B = state.attempt_B.masked_fill(rows_B, 0)
