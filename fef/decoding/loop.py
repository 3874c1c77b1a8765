"""The loop: blocks, denoising passes over a block, rounds inside a pass. It knows parts, not methods.

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.order import block_mask, block_numbers, decoding_order
from fef.decoding.plain import plain_round
from fef.decoding.remask import first_noise, remask
from fef.decoding.replay import replay_round
from fef.decoding.speculate import speculative_round
from fef.decoding.work import Run, Work, start_work

__all__ = ["DenoisingPass", "decode_canvas", "decode_pass", "denoising_passes", "round_of"]


@dataclass(frozen=True)
class DenoisingPass:
    """Every pending slot of `within_BL` is to be drawn, under the noise of pass `k` of a block."""

    within_BL: Tensor
    k: int
    block: int


def decode_canvas(run: Run, canvas: Canvas) -> None:
    """Fill every open slot of `canvas` in place, as the plan says."""
    for pass_ in denoising_passes(run, canvas):
        decode_pass(run, canvas, pass_.within_BL, pass_.k, pass_.block)


def denoising_passes(run: Run, canvas: Canvas) -> Iterator[DenoisingPass]:
    """The passes of a decode, in order. Whoever iterates draws the slots of one before going on to the next; what lies
    between passes happens here."""
    plan = run.plan
    canvas.rank_BL = decoding_order(canvas, plan, run.noise)
    block_BL = block_numbers(canvas, plan.block_length, plan.aligned_blocks)
    for block in range(int(block_BL.max()) + 1):
        within_BL = block_mask(canvas, block_BL, block)
        first_noise(canvas, within_BL, run.process, run.noise)
        for k in range(plan.steps, 0, -1):
            drawn_BL = canvas.pending_BL & within_BL
            yield DenoisingPass(within_BL, k, block)
            count_committed(run, canvas, drawn_BL)
            if k > 1:
                remask(canvas, drawn_BL, within_BL, plan, run.process, run.noise, k)


def decode_pass(run: Run, canvas: Canvas, within_BL: Tensor, k: int, block: int = 0) -> None:
    """One denoising pass: draw every pending slot of the block, each row at its own pace."""
    work = start_work(run, canvas, within_BL, k, block)
    active_B = work.active_B
    while bool(active_B.any()):
        round_of(work)
        active_B = work.active_B
        # dropping rows copies caches, so it waits until a quarter of them are done
        if int(active_B.sum()) <= 0.75 * len(active_B):
            canvas.put(work.rows_B, work.canvas)
            work.select(active_B.nonzero()[:, 0])
            active_B = active_B[active_B]
    canvas.put(work.rows_B, work.canvas)


def round_of(work: Work) -> None:
    """One round: draft and verify, or replay a rule ahead, or draw and choose."""
    if work.plan.speculation is not None:
        speculative_round(work, work.plan.speculation)
    elif work.plan.replay:
        replay_round(work)
    else:
        plain_round(work)
    work.attempt += 1


def count_committed(run: Run, canvas: Canvas, drawn_BL: Tensor) -> None:
    if run.eos is not None:
        drawn_BL = drawn_BL & run.eos.up_to_end(canvas)
    run.meter.committed += drawn_BL.sum(1)
