"""Several matrices times the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["products"]


def products(x: Tensor, layers: Sequence[nn.Module]) -> Sequence[Tensor]:
    """`x` through each of these linear layers, all with a bias or none.

    Where a training step is compiled, they are one product: tokens are read, and their gradient is written, once instead of
    once a layer, and the gradients of narrow matrices fill the device together. Elsewhere joining them would cost more.
    """
    joins = torch.compiler.is_compiling() and torch.is_grad_enabled()
    matrices = [matrix_of(layer) for layer in layers] if joins else [None]
    joined = [matrix for matrix in matrices if matrix is not None]
    if len(joined) < len(layers):
        return [layer(x) for layer in layers]
    biases: list[Any] = [layer.bias for layer in layers]
    bias = None if biases[0] is None else torch.cat(biases)
    return torch.split(F.linear(x, torch.cat(joined), bias), [len(matrix) for matrix in joined], dim=-1)


def matrix_of(layer: Any) -> Tensor | None:
    """[outputs, inputs] of a plain layer or of one that makes its matrix; None of others."""
    if isinstance(layer, nn.Linear):
        return layer.weight
    made: Tensor | None = layer.matrix() if getattr(layer, "adds_up", False) else None
    return made
