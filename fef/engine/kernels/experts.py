"""The experts of a mixture as two grouped products of fixed shape: the weights of an expert are read if a token chose it.

Assignments are sorted by expert. A program owns a block of assignments of one expert and a tile of outputs; which block that
is follows from where each expert's assignments end, which every program reads for itself. There are as many programs as
the worst case needs, and those without a block end at once. The order of a sum depends on the expert's shape alone.

Shapes: T tokens, C chosen experts per token, A = T x C assignments, X experts, D width, F expert width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.gate import silu_times
from fef.engine.kernels.overlap import let_next_start, wait_for_previous
from fef.engine.kernels.route import Assignments

__all__ = ["expert_outputs"]


def expert_outputs(
    x_TD: Tensor, assigned: Assignments, gate_XFD: Tensor, up_XFD: Tensor, down_XDF: Tensor, *, overlap: bool
) -> Tensor:
    """What each choice of each token adds, its weight applied: float32 [C, T, D], to be added in order."""
    (T, D), (X, F, _), C = x_TD.shape, gate_XFD.shape, assigned.weight_TC.shape[1]
    assert x_TD.is_contiguous() and all(w.is_contiguous() for w in (gate_XFD, up_XFD, down_XDF)), "rows side by side"
    A = T * C
    tile = _choose(A, X, x_TD.dtype)
    blocks = min(A, triton.cdiv(A, tile.tokens) + X)
    gated_AF = torch.empty(A, F, dtype=x_TD.dtype, device=x_TD.device)
    shared = {
        "X": X,
        "LANES": triton.next_power_of_2(X),
        "BLOCK_M": tile.outputs,
        "BLOCK_N": tile.tokens,
        "BLOCK_K": tile.inputs,
        "OVERLAP": overlap,
        "launch_pdl": overlap,
        "num_warps": 4,
        "num_stages": tile.stages,
    }
    _gated_kernel[(triton.cdiv(F, tile.outputs), blocks)](
        x_TD,
        assigned.order_A,
        assigned.end_X,
        gate_XFD,
        up_XFD,
        gated_AF,
        C,
        F,
        D,
        EVEN_K=D % tile.inputs == 0,
        **shared,
    )
    part_CTD = torch.empty(C, T, D, dtype=torch.float32, device=x_TD.device)
    _down_kernel[(triton.cdiv(D, tile.outputs), blocks)](
        gated_AF,
        assigned.order_A,
        assigned.end_X,
        down_XDF,
        assigned.weight_TC,
        part_CTD,
        T,
        C,
        D,
        F,
        EVEN_K=F % tile.inputs == 0,
        **shared,
    )
    return part_CTD


@dataclass(frozen=True)
class Tile:
    outputs: int
    tokens: int
    inputs: int
    stages: int


def _choose(assignments: int, experts: int, dtype: torch.dtype) -> Tile:
    """The input tile is always the same, so the others do not change the bits."""
    if dtype == torch.float32:
        return Tile(32, 16, 16, stages=2)
    if assignments <= 24 * experts:
        return Tile(64, 16, 128, stages=3)
    return Tile(64, 64, 128, stages=3)


@triton.jit
def _block(order, ends, program, X: tl.constexpr, LANES: tl.constexpr, BLOCK_N: tl.constexpr):
    """A block of assignments: its expert, X where there is none; their places in the order, which are there, and what they
    are."""
    lane = tl.arange(0, LANES)
    end = tl.load(ends + lane, mask=lane < X, other=0).to(tl.int32)
    start = tl.load(ends + lane - 1, mask=(lane > 0) & (lane < X), other=0).to(tl.int32)
    blocks = tl.where(lane < X, (end - start + BLOCK_N - 1) // BLOCK_N, 0)
    behind = tl.cumsum(blocks, axis=0)  # the first block of the next expert
    expert = tl.sum((behind <= program).to(tl.int32) * (lane < X).to(tl.int32), axis=0)
    own = lane == expert
    first = tl.sum(tl.where(own, start + (program - behind + blocks) * BLOCK_N, 0), axis=0)
    places = first + tl.arange(0, BLOCK_N)
    real = places < tl.sum(tl.where(own, end, 0), axis=0)
    return expert, places, real, tl.load(order + places, mask=real, other=0)


@triton.jit
def _weights(weight, rows, k, M, K, BLOCK_K: tl.constexpr, EVEN_K: tl.constexpr):
    """Weights of rows, from input `k` on. Rows behind the end may hold anything."""
    inputs = k + tl.arange(0, BLOCK_K)
    pointers = weight + tl.where(rows < M, rows, 0)[:, None] * K + inputs[None, :]
    return tl.load(pointers) if EVEN_K else tl.load(pointers, mask=inputs[None, :] < K, other=0.0)


@triton.jit
def _inputs(x, places, real, k, K, BLOCK_K: tl.constexpr, EVEN_K: tl.constexpr):
    """Inputs [BLOCK_K, BLOCK_N] of the rows of `x` at `places`, from input `k` on; 0 where there is none."""
    inputs = k + tl.arange(0, BLOCK_K)
    mask = real[None, :] if EVEN_K else real[None, :] & (inputs[:, None] < K)
    return tl.load(x + places.to(tl.int64)[None, :] * K + inputs[:, None], mask=mask, other=0.0)


@triton.jit
def _gated_kernel(
    x,
    order,
    ends,
    gate,
    up,
    out,
    C,
    F,
    D,
    X: tl.constexpr,
    LANES: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP, False)
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    expert, places, real, assignment = _block(order, ends, tl.program_id(1), X, LANES, BLOCK_N)
    if expert < X:
        tokens = assignment // C
        gate += expert.to(tl.int64) * F * D
        up += expert.to(tl.int64) * F * D
        first_sum = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        second_sum = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for k in range(0, D, BLOCK_K):
            tile = _inputs(x, tokens, real, k, D, BLOCK_K, EVEN_K)
            first_sum = tl.dot(_weights(gate, rows, k, F, D, BLOCK_K, EVEN_K), tile, first_sum, input_precision="ieee")
            second_sum = tl.dot(_weights(up, rows, k, F, D, BLOCK_K, EVEN_K), tile, second_sum, input_precision="ieee")
        y = silu_times(first_sum, second_sum).to(out.dtype.element_ty)
        mask = (rows < F)[:, None] & real[None, :]
        tl.store(out + places.to(tl.int64)[None, :] * F + rows[:, None], y, mask=mask)
    let_next_start(OVERLAP)


@triton.jit
def _down_kernel(
    gated,
    order,
    ends,
    down,
    weights,
    out,
    T,
    C,
    D,
    F,
    X: tl.constexpr,
    LANES: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP, False)
    expert, places, real, assignment = _block(order, ends, tl.program_id(1), X, LANES, BLOCK_N)
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    if expert < X:
        total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        down += expert.to(tl.int64) * D * F
        for k in range(0, F, BLOCK_K):
            tile = _inputs(gated, places, real, k, F, BLOCK_K, EVEN_K)
            total = tl.dot(_weights(down, rows, k, D, F, BLOCK_K, EVEN_K), tile, total, input_precision="ieee")
        total = total * tl.load(weights + assignment, mask=real, other=0.0)[None, :]
        target = (assignment % C) * T + assignment // C
        mask = (rows < D)[:, None] & real[None, :]
        tl.store(out + target.to(tl.int64)[None, :] * D + rows[:, None], total, mask=mask)
    let_next_start(OVERLAP)
