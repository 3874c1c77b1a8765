"""Weight-only quantization of the dense matrices of a network: int8 or float8, one scale per output row.

Activations keep the dtype that the network was loaded in; embedding, head, norms, biases and everything inside a mixture of
experts stay as they are. torchao does the same with tensor subclasses; here the numbers and scales are plain tensors of a
module, because kernels other than its own read them, and no further package is needed.

Shapes: O output rows, I inputs, R some of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.errors import CheckpointError, OptionError, nearest_hint
from fef.models.mlp import SwiGLU
from fef.models.transformer import SelfAttention, Transformer

__all__ = [
    "QuantizedLinear",
    "WeightFormat",
    "check_format",
    "quantize_",
    "quantize_rows",
    "refuse_quantized",
]

WeightFormat = Literal["int8", "fp8"]
PIECE = 1 << 22  # weights quantized at a time: their float32 copies take a few times 16 MB
# A row of zeros gets this scale, too: numbers divide by it and stay zero. Smaller scales would lose bits or be zero.
SMALLEST_SCALE = torch.finfo(torch.float32).tiny
DENSE: dict[type[nn.Module], tuple[str, ...]] = {
    SelfAttention: ("q", "k", "v", "out"),
    SwiGLU: ("gate", "up", "down"),
}  # parts of a block with the matrices that are quantized


@dataclass(frozen=True)
class Kind:
    """dtype of the stored numbers, and the largest of them that is used."""

    dtype: torch.dtype
    largest: float


KINDS: dict[str, Kind] = {"int8": Kind(torch.int8, 127.0), "fp8": Kind(torch.float8_e4m3fn, 448.0)}


class QuantizedLinear(nn.Module):
    """`nn.Linear` with `weight` [O, I] in int8 or float8 and `scale` float32 [O]: y = x (scale * weight)^T + bias.

    Of any device. Changing the dtype of the module changes that of the bias alone. `fill` gives it its numbers.
    """

    def __init__(self, linear: nn.Linear, format: WeightFormat) -> None:
        """An empty one of the shape and on the device of `linear`, with its bias."""
        super().__init__()
        self.kind = KINDS[format]
        numbers = torch.empty(linear.weight.shape, dtype=self.kind.dtype, device=linear.weight.device)
        self.weight = nn.Parameter(numbers, requires_grad=False)
        self.bias = linear.bias
        self.scale: Tensor
        self.register_buffer(
            "scale", torch.empty(linear.out_features, dtype=torch.float32, device=linear.weight.device)
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is torch.float16:  # sums of unscaled numbers leave its range
            return F.linear(x, (self.weight.float() * self.scale[:, None]).to(x.dtype), self.bias)
        # Every int8 and float8 number is exact in all other dtypes, so the weights are rounded once, when quantized.
        y = F.linear(x, self.weight.to(x.dtype)) * self.scale
        return (y if self.bias is None else y + self.bias).to(x.dtype)

    def fill(self, start: int, weight_RI: Tensor) -> None:
        """Quantize these rows into the place of rows `start` and following. Raises as `quantize_rows`."""
        step = max(1, PIECE // weight_RI.shape[1])
        for low in range(0, len(weight_RI), step):
            rows_RI = weight_RI[low : low + step].to(self.weight.device)
            place = slice(start + low, start + low + len(rows_RI))
            numbers_RI, self.scale[place] = quantize_rows(rows_RI, self.kind)
            self.weight[place] = numbers_RI

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        raw = (self.weight, self.scale)

        def keep_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if moved.dtype != tensor.dtype and any(tensor is r for r in raw):
                return tensor.to(moved.device)
            return moved

        return super()._apply(keep_dtype, recurse)  # type: ignore[no-untyped-call]


def quantize_rows(weight_RI: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """Numbers [R, I] and float32 scales [R], each row's largest magnitude / `kind.largest`, rounded to nearest.

    So scale * number is off by at most half a scale in int8; in float8 by 1/16 of the weight, or half of the smallest
    step (2^-10 scales) if that is more. Raises CheckpointError for weights that are infinite or nan.
    """
    weight_RI = weight_RI.detach().float()
    scale_R = (weight_RI.abs().amax(1) / kind.largest).clamp(min=SMALLEST_SCALE)
    if not bool(scale_R.isfinite().all()):
        raise CheckpointError(
            "A weight matrix holds values that are infinite or nan, which have no scale. Load it as stored (weights=None) "
            "to look at it, or copy the checkpoint again."
        )
    # A quotient can exceed the largest number by a rounding error, and float8 has no infinity to saturate at.
    numbers_RI = (weight_RI / scale_R[:, None]).clamp_(-kind.largest, kind.largest)
    if not kind.dtype.is_floating_point:
        numbers_RI.round_()
    return numbers_RI.to(kind.dtype), scale_R


def quantize_(network: Transformer, format: str) -> Transformer:
    """Quantize the dense block matrices in place and return the network; on the meta device, their shapes and dtypes.

    Matrix by matrix: memory rises by at most one quantized matrix, and then falls. Raises OptionError for an unknown format
    and for a network that is quantized already; CheckpointError as `quantize_rows`.
    """
    known = check_format(format)
    refuse_quantized(network, "quantized again")
    network.weight_format = known
    for parent, name in dense_places(network):
        linear = getattr(parent, name)
        quantized = QuantizedLinear(linear, known)
        if network.device.type != "meta":
            quantized.fill(0, linear.weight)
        setattr(parent, name, quantized)
    return network


def dense_places(network: Transformer) -> Iterator[tuple[nn.Module, str]]:
    """Module and attribute of each matrix that is quantized. An expert of a mixture, shared or not, is none of them."""
    for block in network.blocks:
        for part in block.children():
            yield from ((part, name) for name in DENSE.get(type(part), ()))


def check_format(format: str) -> WeightFormat:
    """`format` itself. Raises OptionError for an unknown one."""
    for known in get_args(WeightFormat):
        if format == known:
            return known  # type: ignore[no-any-return]
    raise OptionError(f"Unknown weight format {format!r}.{nearest_hint(str(format), KINDS)}")


def refuse_quantized(network: Transformer, what: str) -> None:
    """Raise OptionError if the network is quantized; what: what cannot be done to it, such as "trained"."""
    if network.weight_format is not None:
        raise OptionError(
            f"A network with {network.weight_format} weights cannot be {what}: they are rounded. Load it without weights=."
        )
