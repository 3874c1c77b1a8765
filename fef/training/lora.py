"""Low-rank adaptation (LoRA, 2106.09685): frozen matrices plus a trained product of two thin ones.

In float32 the product is added to the matrix before it meets the tokens, so a step costs what full fine-tuning costs,
whatever the rank: the thin products over all tokens of a batch, which are slow for their arithmetic, do not occur. A matrix
in half precision would round that sum to itself, and is large: there tokens meet one factor after the other. Factors are
float32.
Shapes: O outputs, I inputs, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.errors import OptionError, nearest_hint
from fef.models.homes import Held, whole
from fef.models.quantize import dense_places
from fef.models.transformer import Transformer

__all__ = [
    "TARGETS",
    "LowRankLinear",
    "adapt_",
    "draw_factors_",
    "factors_of",
    "is_factor",
    "train_norms",
    "train_rows",
]

IN, OUT = "factor_in", "factor_out"
TARGETS = ("q", "k", "v", "out", "gate", "up", "down")  # the matrices of dense blocks


class LowRankLinear(nn.Module):
    """`nn.Linear` whose matrix is weight + factor_out @ factor_in. Its state is that of the plain layer with this matrix."""

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        outputs, inputs = linear.weight.shape
        exact = torch.promote_types(linear.weight.dtype, torch.float32)
        self.factor_in = nn.Parameter(linear.weight.new_empty(rank, inputs, dtype=exact))
        self.factor_out = nn.Parameter(linear.weight.new_empty(outputs, rank, dtype=exact))
        self.draw(generator)

    @torch.no_grad()
    def draw(self, generator: torch.Generator, held: Held = whole) -> None:
        """Random rows and columns of zeros: the matrix is the plain layer's. held: what is here of a factor."""
        drawn_RI = torch.randn(self.factor_in.shape, generator=generator) * self.factor_in.shape[1] ** -0.5
        first, rows_RI = held(self.factor_in)
        rows_RI.copy_(drawn_RI[first : first + len(rows_RI)])
        held(self.factor_out)[1].zero_()

    def forward(self, x: Tensor) -> Tensor:
        if self.adds_up:
            return F.linear(x, self.matrix(), self.bias)
        thin = F.linear(x, self.factor_in.to(x.dtype))
        return F.linear(x, self.weight, self.bias) + F.linear(thin, self.factor_out.to(x.dtype))

    @property
    def adds_up(self) -> bool:
        """Whether `matrix` is what tokens meet."""
        return self.weight.dtype.itemsize >= 4

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


def draw_factors_(model: Transformer, seed: int, held: Held) -> None:
    """The factors as `adapt_` draws them, where their memory came later."""
    generator = torch.Generator().manual_seed(seed)
    for parent, name in dense_places(model):
        if isinstance(layer := getattr(parent, name), LowRankLinear):
            layer.draw(generator, held)


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


def factors_of(model: Transformer) -> dict[str, tuple[Tensor, Tensor]]:
    """Factors in [R, I] and out [O, R] of every low-rank layer, by its name."""
    return {
        name: (module.factor_in.detach(), module.factor_out.detach())
        for name, module in model.named_modules()
        if isinstance(module, LowRankLinear)
    }


def is_factor(name: str) -> bool:
    """Whether a parameter of that name is a factor of a low-rank layer."""
    return name.rpartition(".")[2] in (IN, OUT)
