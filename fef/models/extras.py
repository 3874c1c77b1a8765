"""What may come with the weights of a checkpoint: a dependency head, an information profile, a causal model, a layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fef.models.demask import DEMASK, DependencyHead, load_head
from fef.models.order_block import ORDER_BLOCK, OrderBlock, load_order_block
from fef.models.profile import PROFILE, load_profile
from fef.models.transformer import Transformer

__all__ = ["Extras", "load_extras"]


@dataclass(frozen=True)
class Extras:
    dependency_head: DependencyHead | None = None
    information_profile: tuple[float, ...] | None = None
    order_block: OrderBlock | None = None  # the order-causal layer
    causal_model: Any = None  # of the same tokens (`fef.models.causal`), or where it is


def load_extras(directory: Path, model: Transformer, base: Path | None = None) -> Extras:
    """Those that are there; base: where the causal model is that the network was made of. Raises CheckpointError for damaged
    files and for the head of another network.

    A quantized network gets no head and no layer: those that are there learned from the weights as stored.
    """
    head, profile, layer = directory / DEMASK, directory / PROFILE, directory / ORDER_BLOCK
    as_stored = model.weight_format is None
    return Extras(
        load_head(head, model) if head.is_file() and as_stored else None,
        load_profile(profile) if profile.is_file() else None,
        load_order_block(layer, model) if layer.is_file() and as_stored else None,
        base,
    )
