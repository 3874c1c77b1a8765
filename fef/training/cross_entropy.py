"""Cross-entropy of a large vocabulary without its logits in memory: a chunk of positions at a time, gradients at once.

The gradient of a weighted sum of cross-entropies is known in the forward pass, so each chunk's logits are dropped after
three matrix products. The same idea is in Liger Kernel (2410.10989, section 3.2). Shapes: K trained positions, C of them
in a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["CHUNK", "MULTIPLE", "chunk_of", "weighted_cross_entropy"]

CHUNK = 4096  # positions at most
MULTIPLE = 128  # of a chunk's positions: what tiles of products are filled with


def chunk_of(positions: int) -> int:
    """Positions of each of as few equal chunks as there can be."""
    chunks = -(-positions // CHUNK)
    return -(-positions // (chunks * MULTIPLE)) * MULTIPLE if positions else MULTIPLE


def weighted_cross_entropy(
    hidden_KD: Tensor, head_VD: Tensor, label_K: Tensor, weight_K: Tensor
) -> tuple[Tensor, Tensor]:
    """The sum of weight x cross-entropy (nats), and the cross-entropies [K] themselves, without gradient.

    Logits are computed in the dtype of `hidden_KD`, the softmax in float32 at least.
    """
    total, nll_K = WeightedCrossEntropy.apply(hidden_KD, head_VD.to(hidden_KD.dtype), label_K, weight_K)  # type: ignore[no-untyped-call]
    return total, nll_K


class WeightedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_KD: Tensor, head_VD: Tensor, label_K: Tensor, weight_K: Tensor
    ) -> tuple[Tensor, Tensor]:
        trains, trains_head = ctx.needs_input_grad[:2]
        grad_KD = torch.empty_like(hidden_KD) if trains else None
        grad_VD = torch.zeros_like(head_VD, dtype=exact(head_VD)) if trains_head else None
        nll_K = torch.empty(len(label_K), device=hidden_KD.device, dtype=exact(hidden_KD))
        size = chunk_of(len(label_K))
        for start in range(0, len(label_K), size):
            part = slice(start, start + size)
            hidden_CD = hidden_KD[part]
            slope = fused_softmax_slope() if hidden_KD.is_cuda else softmax_slope
            nll_K[part], slope_CV = slope(F.linear(hidden_CD, head_VD), label_K[part], weight_K[part])
            if grad_KD is not None:
                grad_KD[part] = slope_CV @ head_VD
            if grad_VD is not None:
                grad_VD += slope_CV.T @ hidden_CD
        ctx.save_for_backward(grad_KD, grad_VD)
        ctx.mark_non_differentiable(nll_K)
        return (weight_K.to(nll_K.dtype) * nll_K).sum(), nll_K

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_KD, grad_VD = ctx.saved_tensors
        scaled_KD = None if grad_KD is None else grad_KD * upstream.to(grad_KD.dtype)
        return scaled_KD, None if grad_VD is None else grad_VD * upstream, None, None


def softmax_slope(logits_CV: Tensor, label_C: Tensor, weight_C: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies [C] and the derivative [C, V] of their weighted sum by the logits, in the dtype of the logits."""
    exact_CV = logits_CV.to(exact(logits_CV))
    total_C1 = exact_CV.logsumexp(-1, keepdim=True)
    nll_C = (total_C1 - exact_CV.gather(-1, label_C[:, None]))[:, 0]
    is_label_CV = torch.arange(logits_CV.shape[-1], device=logits_CV.device) == label_C[:, None]
    slope_CV = ((exact_CV - total_C1).exp() - is_label_CV.to(exact_CV.dtype)) * weight_C[:, None].to(exact_CV.dtype)
    return nll_C, slope_CV.to(logits_CV.dtype)


@cache
def fused_softmax_slope() -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """It, compiled: a few passes over the logits instead of a dozen."""
    return torch.compile(softmax_slope)


def exact(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
