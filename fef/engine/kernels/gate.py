"""SwiGLU's gate (Shazeer 2020, arXiv 2002.05202) on a finished product.

Shapes: N tokens, F gated outputs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.overlap import wait_for_previous

__all__ = ["gate", "silu_times"]

_BLOCK = 1024


def gate(x_N2F: Tensor, *, overlap: bool = False) -> Tensor:
    """silu(gate) * up, [N, F], rounded once; `x_N2F` holds the F gates of a token, then its F ups."""
    assert x_N2F.is_contiguous(), "gates and ups lie side by side"
    N, F = x_N2F.shape[0], x_N2F.shape[1] // 2
    y_NF = torch.empty(N, F, dtype=x_N2F.dtype, device=x_N2F.device)
    _gate_kernel[(N, triton.cdiv(F, _BLOCK))](
        x_N2F, y_NF, F, BLOCK=_BLOCK, OVERLAP=overlap, launch_pdl=overlap, num_warps=4
    )
    return y_NF


@triton.jit
def silu_times(gate, up):
    return gate / (1.0 + tl.exp(-gate)) * up


@triton.jit
def _gate_kernel(x, out, F, BLOCK: tl.constexpr, OVERLAP: tl.constexpr):
    wait_for_previous(OVERLAP)
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < F
    first = tl.load(x + token * 2 * F + column, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(x + token * 2 * F + F + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + token * F + column, silu_times(first, second).to(out.dtype.element_ty), mask=mask)
