"""The matrices of a network as the engine multiplies by them: q, k and v in one, gate and up in one.

The network's own parameters become views of the joined matrices, so that nothing is held twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.errors import OptionError
from fef.models.transformer import Transformer

__all__ = ["LayerWeights", "Matrix", "join_weights"]


@dataclass
class Matrix:
    """x -> x weight^T (scale) + bias. weight [out, in]; scale [out] of a quantized weight."""

    weight: Tensor
    bias: Tensor | None = None
    scale: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.scale is None:
            return F.linear(x, self.weight, self.bias)
        y = F.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        return y if self.bias is None else y + self.bias


@dataclass
class LayerWeights:
    attn_norm: Callable[[Tensor], Tensor]
    qkv: Matrix
    q_norm: Callable[[Tensor], Tensor]
    k_norm: Callable[[Tensor], Tensor]
    out: Matrix
    mlp_norm: Callable[[Tensor], Tensor]
    gate_up: Matrix
    down: Matrix


def join_weights(network: Transformer) -> list[LayerWeights]:
    """The layers of a dense network. Raises OptionError for a mixture of experts."""
    if network.config.mixture is not None:
        raise OptionError(f"The engine runs dense networks; {network.name} is a mixture of experts. Use fef.decode.")
    return [
        LayerWeights(
            block.attn_norm,
            joined([block.attn.q, block.attn.k, block.attn.v]),
            block.attn.q_norm,
            block.attn.k_norm,
            matrix(block.attn.out),
            block.mlp_norm,
            joined([block.mlp.gate, block.mlp.up]),
            matrix(block.mlp.down),
        )
        for block in network.blocks
    ]


def matrix(linear: nn.Module) -> Matrix:
    return Matrix(linear.weight.detach(), detached(linear, "bias"), detached(linear, "scale"))


def joined(linears: list[nn.Module]) -> Matrix:
    names = [n for n in ("weight", "bias", "scale") if getattr(linears[0], n, None) is not None]
    parts = {name: join(linears, name) for name in names}
    return Matrix(parts["weight"], parts.get("bias"), parts.get("scale"))


def join(linears: list[nn.Module], name: str) -> Tensor:
    """One tensor of several along their first axis, of which they become views."""
    tensors = [getattr(linear, name).detach() for linear in linears]
    if adjacent(tensors):
        return tensors[0].as_strided((sum(len(t) for t in tensors), *tensors[0].shape[1:]), tensors[0].stride())
    whole = torch.cat(tensors)
    for linear, view in zip(linears, whole.split([len(t) for t in tensors]), strict=True):
        getattr(linear, name).data = view
    return whole


def adjacent(tensors: list[Tensor]) -> bool:
    """Were they joined before?"""
    place = tensors[0].data_ptr()
    for tensor in tensors:
        if tensor.data_ptr() != place or not tensor.is_contiguous():
            return False
        place += tensor.numel() * tensor.element_size()
    return tensors[0].untyped_storage().data_ptr() == tensors[-1].untyped_storage().data_ptr()


def detached(linear: nn.Module, name: str) -> Tensor | None:
    value: Tensor | None = getattr(linear, name, None)
    return None if value is None else value.detach()
