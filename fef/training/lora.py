"""Low-rank adaptation (LoRA, 2106.09685): frozen matrices plus a trained product of two thin ones.

The product is added to the matrix before it meets the tokens, so a step costs what full fine-tuning costs, whatever the rank:
the thin products over all tokens of a batch, which are slow for their arithmetic, do not occur. Shapes: O outputs, I inputs,
R rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.errors import OptionError, nearest_hint
from fef.models.quantize import dense_places
from fef.models.transformer import Transformer

__all__ = ["LowRankLinear", "adapt_", "is_factor", "train_norms", "train_rows"]

IN, OUT = "factor_in", "factor_out"


class LowRankLinear(nn.Module):
    """`nn.Linear` whose matrix is weight + factor_out @ factor_in. Its state is that of the plain layer with this matrix."""

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        outputs, inputs = linear.weight.shape
        factor_RI = torch.randn(rank, inputs, generator=generator) * inputs**-0.5
        self.factor_in = nn.Parameter(factor_RI.to(linear.weight))
        self.factor_out = nn.Parameter(linear.weight.new_zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.matrix(), self.bias)

    def matrix(self) -> Tensor:
        return self.weight + self.factor_out @ self.factor_in

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[prefix + "weight"] = self.matrix() if keep_vars else self.matrix().detach()
        if self.bias is not None:
            destination[prefix + "bias"] = self.bias if keep_vars else self.bias.detach()


def adapt_(model: Transformer, rank: int, targets: Sequence[str], seed: int) -> None:
    """Freeze the network but for new factors of the matrices named in `targets`.

    Raises OptionError for an unknown target.
    """
    places = list(dense_places(model))
    known = {name for _, name in places}
    for target in targets:
        if target not in known:
            raise OptionError(f"Unknown LoRA target {target!r}.{nearest_hint(target, known)}")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parent, name in places:
        if name in targets:
            setattr(parent, name, LowRankLinear(getattr(parent, name), rank, generator))


def train_norms(model: Transformer) -> None:
    """Train the norms and biases, too."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.requires_grad_(True)


def train_rows(weight_VD: Tensor, rows: Sequence[int]) -> None:
    """Let gradients reach these rows of a matrix only."""
    share_V1 = torch.zeros(len(weight_VD), 1, device=weight_VD.device)
    share_V1[list(rows)] = 1.0
    trained_VD = weight_VD.requires_grad_(True)
    trained_VD.register_hook(lambda grad_VD: grad_VD * share_V1.to(grad_VD.dtype))  # type: ignore[no-untyped-call]


def is_factor(name: str) -> bool:
    """Whether a parameter of that name is a factor of a low-rank layer."""
    return name.rpartition(".")[2] in (IN, OUT)
