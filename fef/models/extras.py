"""What may come with the weights of a checkpoint: a dependency head, an information profile, a causal model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fef.models.demask import DEMASK, DependencyHead, load_head
from fef.models.profile import PROFILE, load_profile
from fef.models.transformer import Transformer

__all__ = ["Extras", "load_extras"]


@dataclass(frozen=True)
class Extras:
    dependency_head: DependencyHead | None = None
    information_profile: tuple[float, ...] | None = None
    causal_model: Any = None  # of the same tokens (`fef.models.causal`), or where it is


def load_extras(directory: Path, model: Transformer, base: Path | None = None) -> Extras:
    """Those that are there; base: where the causal model is that the network was made of. Raises CheckpointError for damaged
    files and for the head of another network.

    A quantized network gets no head: the one that is there learned the influences of the weights as stored.
    """
    head, profile = directory / DEMASK, directory / PROFILE
    fits = head.is_file() and model.weight_format is None
    return Extras(load_head(head, model) if fits else None, load_profile(profile) if profile.is_file() else None, base)
