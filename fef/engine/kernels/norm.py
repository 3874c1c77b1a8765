"""RMS normalisation (Zhang, Sennrich 2019, arXiv 1910.07467), alone or behind a residual sum. Statistics in float32.

Shapes: N tokens, D width, S parts of a product (`linear.linear_parts`).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.overlap import wait_for_previous

__all__ = ["add_rms_norm", "rms_norm"]


def rms_norm(x_ND: Tensor, weight_D: Tensor, eps: float, *, overlap: bool = False) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, rounded once to the type of x: `torch.nn.functional.rms_norm`."""
    N, D = x_ND.shape
    y_ND = torch.empty_like(x_ND, memory_format=torch.contiguous_format)
    _rms_norm_kernel[(N,)](
        x_ND,
        weight_D,
        y_ND,
        D,
        x_ND.stride(0),
        eps,
        BLOCK=triton.next_power_of_2(D),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=_warps(D),
        enable_fp_fusion=False,  # the roundings of `add_rms_norm`
    )
    return y_ND


def add_rms_norm(
    part_SND: Tensor,
    residual_ND: Tensor,
    weight_D: Tensor,
    eps: float,
    *,
    scale_D: Tensor | None = None,
    bias_D: Tensor | None = None,
    overlap: bool = False,
) -> tuple[Tensor, Tensor]:
    """(sum, norm of sum) with sum = parts * scale + bias + residual, rounded to the residual's type before the norm.

    The bits of `linear(..., residual_NM=residual_ND)` followed by `rms_norm`, in one kernel.
    """
    S, N, D = part_SND.shape
    assert residual_ND.is_contiguous() and part_SND.is_contiguous(), "rows lie side by side"
    sum_ND, y_ND = torch.empty_like(residual_ND), torch.empty_like(residual_ND)
    _add_rms_norm_kernel[(N,)](
        part_SND,
        scale_D,
        bias_D,
        residual_ND,
        weight_D,
        sum_ND,
        y_ND,
        N,
        D,
        eps,
        S=S,
        BLOCK=triton.next_power_of_2(D),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=_warps(D),
        enable_fp_fusion=False,  # the roundings of `linear`
    )
    return sum_ND, y_ND


def _warps(width: int) -> int:
    return 1 << max(0, min(4, (width - 1).bit_length() - 9))  # up to 16, with at least 512 numbers each


@triton.jit
def _normed(x, weight, columns, mask, D, eps):
    mean_square = tl.sum(x * x, axis=0) / D
    return x * tl.rsqrt(mean_square + eps) * tl.load(weight + columns, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _rms_norm_kernel(x, weight, out, D, x_stride, eps, BLOCK: tl.constexpr, OVERLAP: tl.constexpr):
    wait_for_previous(OVERLAP)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    mask = columns < D
    x_D = tl.load(x + token * x_stride + columns, mask=mask, other=0.0).to(tl.float32)
    y_D = _normed(x_D, weight, columns, mask, D, eps)
    tl.store(out + token * D + columns, y_D.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["N"])
def _add_rms_norm_kernel(
    parts,
    scale,
    bias,
    residual,
    weight,
    sums,
    out,
    N,
    D,
    eps,
    S: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    mask = columns < D
    places = token * D + columns
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for part in tl.static_range(S):
        total += tl.load(parts + places + part * N * D, mask=mask, other=0.0)
    if scale is not None:
        total = total * tl.load(scale + columns, mask=mask, other=0.0)
    if bias is not None:
        total = total + tl.load(bias + columns, mask=mask, other=0.0).to(tl.float32)
    total = total + tl.load(residual + places, mask=mask, other=0.0).to(tl.float32)
    rounded = total.to(out.dtype.element_ty)
    tl.store(sums + places, rounded, mask=mask)
    y = _normed(rounded.to(tl.float32), weight, columns, mask, D, eps)
    tl.store(out + places, y.to(out.dtype.element_ty), mask=mask)
