"""Products with a weight matrix: at few tokens, as long as the weight takes to read; at many, on full tensor cores.

The weight tile is the left operand of the product and the tokens are the right one, so few tokens waste no rows, and a
quantized weight is converted on its way to the tensor cores. The sum over K is one chain within each of `split` equal
parts of K, and the parts are added in order. `split` depends on the weight's shape alone; whether the parts run in
one program or in several changes who adds, not what is added. So the bits of a token do not depend on the others.

Shapes: N tokens, M outputs, K inputs, F gated outputs, S parts of K.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from fef.engine.kernels.gate import silu_times
from fef.engine.kernels.overlap import ask_for_rows, let_next_start, wait_for_previous
from fef.engine.kernels.tiles import PART_MULTIPLE, Tiles, choose_tiles, gated_tiles, split_of

__all__ = ["gated_linear", "linear", "linear_parts"]


def linear(
    x_NK: Tensor,
    weight_MK: Tensor,
    *,
    bias_M: Tensor | None = None,
    scale_M: Tensor | None = None,
    residual_NM: Tensor | None = None,
    overlap: bool = False,
    ahead: int = 0,
    _tiles: Tiles | None = None,
) -> Tensor:
    """y = (x W^T) * scale + bias + residual, [N, M] in the type of x; sums in float32.

    weight_MK: the type of x, or int8 or float8_e4m3fn with `scale_M`, float32, one number per output row. overlap: start
    while the kernel before ends (`overlap`); the weights must have been written before that one started. ahead: bytes of
    the weight to ask L2 for until then.
    """
    N, M, split = _sizes(x_NK, weight_MK)
    tiles = _tiles or choose_tiles(x_NK, weight_MK, split)
    y_NM = torch.empty(N, M, dtype=x_NK.dtype, device=x_NK.device)
    if not tiles.spread or split == 1:
        _launch(
            x_NK,
            weight_MK,
            y_NM,
            tiles,
            split,
            bias_M,
            scale_M,
            residual_NM,
            finish=True,
            ahead=ahead,
            overlap=overlap,
        )
        return y_NM
    part_SNM = torch.empty(split, N, M, dtype=torch.float32, device=x_NK.device)
    _launch(x_NK, weight_MK, part_SNM, tiles, split, finish=False, ahead=ahead, overlap=overlap)
    block = min(1024, triton.next_power_of_2(M))
    _finish_kernel[(N, triton.cdiv(M, block))](
        part_SNM,
        bias_M,
        scale_M,
        residual_NM,
        y_NM,
        N,
        M,
        S=split,
        BLOCK=block,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
        enable_fp_fusion=False,
    )
    return y_NM


def linear_parts(
    x_NK: Tensor,
    weight_MK: Tensor,
    *,
    overlap: bool = False,
    ahead: int = 0,
    _tiles: Tiles | None = None,
) -> Tensor:
    """x W^T as float32 parts [S, N, M] that the next kernel adds in order (`norm.add_rms_norm`): one launch less.

    S is 1 where one program added the parts itself; the sum has the same bits.
    """
    N, M, split = _sizes(x_NK, weight_MK)
    tiles = _tiles or choose_tiles(x_NK, weight_MK, split)
    parts = split if tiles.spread else 1
    part_SNM = torch.empty(parts, N, M, dtype=torch.float32, device=x_NK.device)
    _launch(x_NK, weight_MK, part_SNM, tiles, split, finish=False, ahead=ahead, overlap=overlap)
    return part_SNM


def gated_linear(
    x_NK: Tensor,
    weight_2FK: Tensor,
    *,
    scale_2F: Tensor | None = None,
    overlap: bool = False,
    ahead: int = 0,
) -> Tensor:
    """silu(x W_gate^T) * (x W_up^T), [N, F]; the weight holds the F gate rows, then the F up rows. Types as `linear`."""
    N, M, _ = _sizes(x_NK, weight_2FK)
    F, K = M // 2, x_NK.shape[1]
    tiles = gated_tiles(x_NK, weight_2FK)
    y_NF = torch.empty(N, F, dtype=x_NK.dtype, device=x_NK.device)
    x, weight = _operands(x_NK, weight_2FK, tiles)
    _gated_kernel[(triton.cdiv(F, tiles.m) * triton.cdiv(N, tiles.n),)](
        x,
        weight,
        weight_2FK,
        scale_2F,
        y_NF,
        N,
        F,
        K,
        x_NK.stride(0),
        EVEN_K=K % tiles.k == 0,
        BLOCK_M=tiles.m,
        BLOCK_N=tiles.n,
        BLOCK_K=tiles.k,
        GROUP=tiles.group,
        BULK=tiles.bulk,
        AHEAD=_ahead(weight_2FK, 1, ahead) if overlap and tiles.bulk else 0,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        enable_fp_fusion=False,
    )
    return y_NF


def _sizes(x_NK: Tensor, weight_MK: Tensor) -> tuple[int, int, int]:
    """Tokens, outputs, and parts of K."""
    (N, K), M = x_NK.shape, weight_MK.shape[0]
    assert weight_MK.shape[1] == K, "weight and input of different widths"
    assert x_NK.stride(1) == 1 and weight_MK.is_contiguous(), "the inputs of a row lie side by side"
    return N, M, split_of(M, K)


def _ahead(weight_MK: Tensor, parts: int, most: int) -> int:
    """Bytes of each row of each part that are asked for ahead."""
    rows, K = weight_MK.shape
    row_bytes = K * weight_MK.element_size()
    most = min(most // (rows * parts), row_bytes // parts)
    return 0 if most < 256 else 1 << (most.bit_length() - 1)


def _launch(
    x_NK: Tensor,
    weight_MK: Tensor,
    out: Tensor,
    tiles: Tiles,
    split: int,
    bias_M: Tensor | None = None,
    scale_M: Tensor | None = None,
    residual_NM: Tensor | None = None,
    *,
    finish: bool,
    ahead: int,
    overlap: bool,
) -> None:
    N, K = x_NK.shape
    M = weight_MK.shape[0]
    part = triton.cdiv(triton.cdiv(K, split), PART_MULTIPLE) * PART_MULTIPLE
    spread = tiles.spread and split > 1
    x, weight = _operands(x_NK, weight_MK, tiles)
    _linear_kernel[(triton.cdiv(M, tiles.m) * triton.cdiv(N, tiles.n), split if spread else 1)](
        x,
        weight,
        weight_MK,
        bias_M,
        scale_M,
        residual_NM,
        out,
        N,
        M,
        K,
        x_NK.stride(0),
        part,
        SPLIT=1 if spread else split,
        SPREAD=spread,
        FINISH=finish,
        EVEN_K=K % tiles.k == 0,
        BLOCK_M=tiles.m,
        BLOCK_N=tiles.n,
        BLOCK_K=tiles.k,
        GROUP=tiles.group,
        BULK=tiles.bulk,
        AHEAD=_ahead(weight_MK, split if spread else 1, ahead) if overlap and tiles.bulk else 0,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        enable_fp_fusion=False,  # the same roundings, whichever kernel finishes the sum
    )


def _operands(x_NK: Tensor, weight_MK: Tensor, tiles: Tiles) -> tuple[Any, Any]:
    if not tiles.bulk:
        return x_NK, weight_MK
    return (
        TensorDescriptor.from_tensor(x_NK, [tiles.n, tiles.k]),
        TensorDescriptor.from_tensor(weight_MK, [tiles.m, tiles.k]),
    )


@triton.jit
def _tile_of(program, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP: tl.constexpr):
    """Output tile and token tile of a program: GROUP token tiles run beside each other on one weight tile."""
    m_tiles = tl.cdiv(M, BLOCK_M)
    n_tiles = tl.cdiv(N, BLOCK_N)
    group = program // (GROUP * m_tiles)
    wide = min(n_tiles - group * GROUP, GROUP)
    within = program % (GROUP * m_tiles)
    return within // wide, group * GROUP + within % wide


@triton.jit
def _weight_tile(
    weight, row, k, M, K, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, EVEN_K: tl.constexpr, BULK: tl.constexpr
):
    """Weights [BLOCK_M, BLOCK_K] from row `row` and input `k` on. Rows behind the end may hold anything."""
    if BULK:
        tile = weight.load([row, k])
    else:
        rows = row + tl.arange(0, BLOCK_M)
        inputs = k + tl.arange(0, BLOCK_K)
        pointers = weight + tl.where(rows < M, rows, 0).to(tl.int64)[:, None] * K + inputs[None, :]
        tile = tl.load(pointers) if EVEN_K else tl.load(pointers, mask=inputs[None, :] < K, other=0.0)
    return tile


@triton.jit
def _token_tile(
    x, token, k, N, K, stride, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, EVEN_K: tl.constexpr, BULK: tl.constexpr
):
    """Inputs [BLOCK_K, BLOCK_N] of the tokens from `token` on; 0 for absent ones, which cost no traffic."""
    if BULK:
        tile = x.load([token, k]).T
    else:
        tokens = token + tl.arange(0, BLOCK_N)
        inputs = k + tl.arange(0, BLOCK_K)
        mask = (tokens < N)[None, :]
        if not EVEN_K:
            mask = mask & (inputs[:, None] < K)
        tile = tl.load(x + tokens.to(tl.int64)[None, :] * stride + inputs[:, None], mask=mask, other=0.0)
    return tile


@triton.jit
def _scaled(total, scale, rows, row_mask):
    if scale is not None:
        total = total * tl.load(scale + rows, mask=row_mask, other=0.0)
    return total


@triton.jit
def _finished(total, bias, scale, residual, rows, row_mask, places, mask):
    """scale, bias and residual on sums; `rows` broadcasts against `total`, `places` has its shape."""
    total = _scaled(total, scale, rows, row_mask)
    if bias is not None:
        total = total + tl.load(bias + rows, mask=row_mask, other=0.0).to(tl.float32)
    if residual is not None:
        total = total + tl.load(residual + places, mask=mask, other=0.0).to(tl.float32)
    return total


@triton.jit(do_not_specialize=["N"])
def _linear_kernel(
    x,
    weight,
    raw_weight,
    bias,
    scale,
    residual,
    out,
    N,
    M,
    K,
    x_stride,
    PART,
    SPLIT: tl.constexpr,
    SPREAD: tl.constexpr,
    FINISH: tl.constexpr,
    EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
    BULK: tl.constexpr,
    AHEAD: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    tile_m, tile_n = _tile_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP)
    if AHEAD > 0:
        ask_for_rows(raw_weight, tile_m * BLOCK_M, tl.program_id(1) * PART, M, K, BLOCK_M, AHEAD)
    wait_for_previous(OVERLAP, False)
    rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    tokens = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for sequel in range(SPLIT):
        start = (tl.program_id(1) if SPREAD else sequel) * PART
        acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for k in range(start, min(start + PART, K), BLOCK_K):
            w_tile = _weight_tile(weight, tile_m * BLOCK_M, k, M, K, BLOCK_M, BLOCK_K, EVEN_K, BULK)
            x_tile = _token_tile(x, tile_n * BLOCK_N, k, N, K, x_stride, BLOCK_N, BLOCK_K, EVEN_K, BULK)
            acc = tl.dot(w_tile.to(x_tile.dtype), x_tile, acc, input_precision="ieee")
        total += acc
    let_next_start(OVERLAP)
    mask = (rows < M)[:, None] & (tokens < N)[None, :]
    places = tokens.to(tl.int64)[None, :] * M + rows[:, None]
    if FINISH:
        total = _finished(total, bias, scale, residual, rows[:, None], (rows < M)[:, None], places, mask)
    elif SPREAD:
        places += tl.program_id(1).to(tl.int64) * N * M
    tl.store(out + places, total.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["N"])
def _finish_kernel(
    parts, bias, scale, residual, out, N, M, S: tl.constexpr, BLOCK: tl.constexpr, OVERLAP: tl.constexpr
):
    """Add the parts of one token in order, then what `_linear_kernel` does with a finished sum."""
    wait_for_previous(OVERLAP)
    token = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = rows < M
    places = token * M + rows
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for part in tl.static_range(S):
        total += tl.load(parts + places + part * N * M, mask=mask, other=0.0)
    total = _finished(total, bias, scale, residual, rows, mask, places, mask)
    tl.store(out + places, total.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["N"])
def _gated_kernel(
    x,
    weight,
    raw_weight,
    scale,
    out,
    N,
    F,
    K,
    x_stride,
    EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
    BULK: tl.constexpr,
    AHEAD: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    tile_m, tile_n = _tile_of(tl.program_id(0), F, N, BLOCK_M, BLOCK_N, GROUP)
    if AHEAD > 0:
        ask_for_rows(raw_weight, tile_m * BLOCK_M, 0, 2 * F, K, BLOCK_M, AHEAD)
        ask_for_rows(raw_weight, F + tile_m * BLOCK_M, 0, 2 * F, K, BLOCK_M, AHEAD)
    wait_for_previous(OVERLAP, False)
    rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    tokens = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    gate = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(0, K, BLOCK_K):
        x_tile = _token_tile(x, tile_n * BLOCK_N, k, N, K, x_stride, BLOCK_N, BLOCK_K, EVEN_K, BULK)
        gate_tile = _weight_tile(weight, tile_m * BLOCK_M, k, F, K, BLOCK_M, BLOCK_K, EVEN_K, BULK)
        up_tile = _weight_tile(weight, F + tile_m * BLOCK_M, k, 2 * F, K, BLOCK_M, BLOCK_K, EVEN_K, BULK)
        gate = tl.dot(gate_tile.to(x_tile.dtype), x_tile, gate, input_precision="ieee")
        up = tl.dot(up_tile.to(x_tile.dtype), x_tile, up, input_precision="ieee")
    let_next_start(OVERLAP)
    row_mask = (rows < F)[:, None]
    gate = _scaled(gate, scale, rows[:, None], row_mask)
    up = _scaled(up, scale, rows[:, None] + F, row_mask)
    places = tokens.to(tl.int64)[None, :] * F + rows[:, None]
    tl.store(out + places, silu_times(gate, up).to(out.dtype.element_ty), mask=row_mask & (tokens < N)[None, :])
