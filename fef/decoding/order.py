"""Orders: in which sequence slots are filled. Fixed before the first draw, each is an adapted order (docs/laws.md).

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.plan import Plan
from fef.laws.draws import Noise, Purpose, Site

__all__ = ["block_numbers", "block_sizes", "decoding_order"]


def decoding_order(canvas: Canvas, plan: Plan, noise: Noise) -> Tensor:
    """Rank [B, L] of every position, smallest first; below 0 are the slots of the part that "random" draws.

    "left-to-right"; "random": a uniform order drawn from the seed before anything else, or of each slot with probability
    `random_share` and from left to right of those that are left (Eso-LM, 2506.01928); "blocks", and "random" with a
    block length: blocks from left to right, the order inside each drawn from the seed.
    """
    index_BL = torch.arange(canvas.ids_BL.shape[1], device=canvas.ids_BL.device).expand_as(canvas.ids_BL)
    if plan.order == "left-to-right":
        return index_BL
    zero_B = torch.zeros_like(index_BL[:, 0])
    everywhere = Site(index_BL, zero_B, zero_B, canvas.open_BL)
    drawn_BL = noise.uniform(everywhere, Purpose.ORDER)
    first_BL = canvas.open_BL & (drawn_BL < plan.random_share)
    shuffled_BL = torch.where(first_BL, drawn_BL, 1.0 + index_BL).argsort(dim=1).argsort(dim=1)
    if plan.order == "random" and plan.block_length is None:
        return shuffled_BL - first_BL.sum(1, keepdim=True)
    return block_numbers(canvas.open_BL, plan.block_length, plan.aligned_blocks) * index_BL.shape[1] + shuffled_BL


def block_numbers(open_BL: Tensor, block_length: int | None, aligned: bool = False) -> Tensor:
    """Block of every open slot; -1 elsewhere. One block when there is no length.

    Counted in open slots from the left, or, if aligned, in positions of the canvas from the block of the first open slot.
    """
    place_BL = open_BL.long().cumsum(1) - 1
    if block_length is None:
        block_BL = torch.zeros_like(place_BL)
    elif aligned:
        index_L = torch.arange(place_BL.shape[1], device=place_BL.device)
        first_B1 = torch.where(open_BL, index_L, len(index_L)).amin(1, keepdim=True)
        block_BL = index_L // block_length - first_B1 // block_length
    else:
        block_BL = place_BL // block_length
    return torch.where(open_BL, block_BL, -1)


def block_sizes(block_BL: Tensor) -> Tensor:
    """Open slots of every block, [B, N]."""
    sizes_BN = block_BL.new_zeros(len(block_BL), int(block_BL.max()) + 2)  # the first of what is in no block
    return sizes_BN.scatter_add(1, block_BL + 1, torch.ones_like(block_BL))[:, 1:]
