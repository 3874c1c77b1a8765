"""Whether a network is still the one that an engine was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fef.errors import EngineError

__all__ = ["Fingerprint"]


@dataclass(frozen=True)
class Fingerprint:
    """weight_format: of a quantized network. weights: how often each tensor was written, its type and its device."""

    weight_format: Any
    weights: tuple[Any, ...]

    @classmethod
    def of(cls, denoiser: Callable[..., Tensor]) -> Fingerprint:
        tensors = [*denoiser.parameters(), *denoiser.buffers()] if isinstance(denoiser, nn.Module) else []
        weights = tuple((0 if t.is_inference() else t._version, t.dtype, t.device) for t in tensors)
        return cls(getattr(denoiser, "weight_format", None), weights)

    def check(self, denoiser: Callable[..., Tensor]) -> None:
        """Raise EngineError for a denoiser that is not as it was."""
        if Fingerprint.of(denoiser) != self:
            raise EngineError(
                "The network was moved, cast, quantized or trained after this engine was made. Make a new engine of it."
            )
