"""The matrices of a network as packed passes multiply by them: q, k and v in one, gate and up in one.

The network's own parameters become views of the joined matrices, so that nothing is held twice, unless a CPU is to have them
once more in the order in which it multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.models.mlp import Mixture, Router
from fef.models.transformer import RMSNorm, Transformer

__all__ = ["ExpertWeights", "FeedForward", "LayerWeights", "Matrix", "in_order", "join_weights", "ordered"]


@dataclass
class Matrix:
    """x -> x weight^T (scale) + bias. weight [out, in]; scale [out] of a quantized weight. ordered: the weight once more, in
    the order in which oneDNN multiplies by it."""

    weight: Tensor
    bias: Tensor | None = None
    scale: Tensor | None = None
    ordered: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.ordered is not None:
            y_TM: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.ordered, self.bias, "none", [], "")
            return y_TM
        if self.scale is None:
            return F.linear(x, self.weight, self.bias)
        y = F.linear(x, self.weight.to(x.dtype)) * self.scale  # in float32, as `QuantizedLinear`: no scale is rounded
        return (y if self.bias is None else y + self.bias).to(x.dtype)


@dataclass
class FeedForward:
    gate_up: Matrix
    down: Matrix

    def __call__(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate).mul_(up))


@dataclass
class ExpertWeights:
    """A mixture. router_XD: float32. gate_XFD, up_XFD, down_XDF: of all experts. shared: the one that every token has."""

    router: Router
    router_XD: Tensor
    gate_XFD: Tensor
    up_XFD: Tensor
    down_XDF: Tensor
    shared: FeedForward | None


@dataclass
class LayerWeights:
    attn_norm: RMSNorm
    qkv: Matrix
    q_norm: nn.Module
    k_norm: nn.Module
    out: Matrix
    mlp_norm: RMSNorm
    feed_forward: FeedForward | ExpertWeights

    def mlp(self, x: Tensor) -> Tensor:
        assert isinstance(self.feed_forward, FeedForward), "no mixture runs packed rounds"
        return self.feed_forward(x)


def ordered(matrix: Matrix) -> Matrix:
    """The same matrix for a CPU that multiplies numbers of 16 bits: in bfloat16 it is there once more, so that products of a
    few tokens need not bring it into order every time. Where there is no such CPU, or it has another type, as it is."""
    has_it = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has_it and torch.ops.mkldnn._is_mkldnn_bf16_supported()) or matrix.weight.dtype is not torch.bfloat16:
        return matrix
    return replace(matrix, ordered=torch.ops.mkldnn._reorder_linear_weight(matrix.weight, None))


def in_order(layers: list[LayerWeights]) -> list[LayerWeights]:
    """The same layers with `ordered` matrices, those of mixtures excepted."""

    def all_ordered(part: FeedForward | ExpertWeights) -> FeedForward | ExpertWeights:
        if isinstance(part, ExpertWeights):
            return part
        return FeedForward(ordered(part.gate_up), ordered(part.down))

    return [
        replace(layer, qkv=ordered(layer.qkv), out=ordered(layer.out), feed_forward=all_ordered(layer.feed_forward))
        for layer in layers
    ]


def join_weights(network: Transformer) -> list[LayerWeights]:
    """The layers of a network."""
    return [layer_weights(block) for block in network.blocks]


def layer_weights(block: Any) -> LayerWeights:
    attn = block.attn
    return LayerWeights(
        block.attn_norm,
        joined([attn.q, attn.k, attn.v]),
        attn.q_norm,
        attn.k_norm,
        matrix(attn.out),
        block.mlp_norm,
        experts(block.mlp) if isinstance(block.mlp, Mixture) else feed_forward(block.mlp),
    )


def feed_forward(mlp: Any) -> FeedForward:
    return FeedForward(joined([mlp.gate, mlp.up]), matrix(mlp.down))


def experts(mixture: Mixture) -> ExpertWeights:
    stacked = mixture.experts
    return ExpertWeights(
        mixture.router,
        mixture.router.weight.detach().float(),
        stacked.gate.detach(),
        stacked.up.detach(),
        stacked.down.detach(),
        None if mixture.shared is None else feed_forward(mixture.shared),
    )


def matrix(linear: Any) -> Matrix:
    return joined([linear])


def joined(linears: list[Any]) -> Matrix:
    names = [n for n in ("weight", "bias", "scale") if getattr(linears[0], n, None) is not None]
    parts = {name: join(linears, name) for name in names}
    return Matrix(parts["weight"], parts.get("bias"), parts.get("scale"))


def join(linears: list[Any], name: str) -> Tensor:
    """One tensor of several along their first axis, of which they become views."""
    tensors: list[Tensor] = [getattr(linear, name).detach() for linear in linears]
    if adjacent(tensors):
        return tensors[0].as_strided((sum(len(t) for t in tensors), *tensors[0].shape[1:]), tensors[0].stride())
    whole = torch.cat(tensors)
    start = 0
    for linear, tensor in zip(linears, tensors, strict=True):
        getattr(linear, name).data = whole[start : start + len(tensor)]
        start += len(tensor)
    return whole


def adjacent(tensors: list[Tensor]) -> bool:
    """Were they joined before?"""
    place = tensors[0].data_ptr()
    for tensor in tensors:
        if tensor.data_ptr() != place or not tensor.is_contiguous():
            return False
        place += tensor.numel() * tensor.element_size()
    return tensors[0].untyped_storage().data_ptr() == tensors[-1].untyped_storage().data_ptr()
