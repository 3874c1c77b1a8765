"""Several matrices times the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["joined_product"]


def joined_product(x: Tensor, layers: Sequence[nn.Module]) -> Tensor | None:
    """`x` through all of these linear layers side by side, or None where joining them would cost more.

    Where a training step is compiled, they are one product: tokens are read, and their gradient is written, once instead of
    once a layer, and the gradients of narrow matrices fill the device together.
    """
    if not (torch.compiler.is_compiling() and torch.is_grad_enabled()):
        return None
    joined = [matrix for matrix in map(matrix_of, layers) if matrix is not None]
    if len(joined) < len(layers):
        return None
    biases: list[Any] = [layer.bias for layer in layers]
    bias = None if biases[0] is None else torch.cat(biases)
    return F.linear(x, torch.cat(joined), bias)


def matrix_of(layer: Any) -> Tensor | None:
    """[outputs, inputs] of a plain layer or of one that makes its matrix; None of others."""
    if isinstance(layer, nn.Linear):
        return layer.weight
    made: Tensor | None = layer.matrix() if getattr(layer, "adds_up", False) else None
    return made
