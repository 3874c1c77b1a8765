"""What a denoiser must offer, and what it may offer on top.

Shapes: B rows, L canvas length, S slots, V vocabulary (counting the mask id).
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Denoiser", "KeepDenoiser", "PaddedDenoiser"]


class Denoiser(Protocol):
    """The least a denoiser offers: a mask id, and logits of every clean token given a partly masked sequence."""

    @property
    def mask_id(self) -> int: ...

    def __call__(self, ids_BL: Tensor, /) -> Tensor:
        """int64 [B, L] -> float [B, L, V]: log p(x_0^i | visible tokens) up to a constant a position."""
        ...


@runtime_checkable
class PaddedDenoiser(Protocol):
    """Runs rows of different lengths in one batch and the head only where logits are needed (`Transformer`)."""

    def logits_at(self, ids_BL: Tensor, positions_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor: ...


class KeepDenoiser(Protocol):
    """A denoiser of visible noise: it also takes the keep probability of each site, [B, L] (1: a clean token)."""

    noise: Any

    def __call__(self, ids_BL: Tensor, keep_BL: Tensor, /) -> Tensor: ...
