"""What may come with the weights of a checkpoint: a dependency head, a draft head, an information profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fef.models.demask import DEMASK, DependencyHead, load_head
from fef.models.draft_head import DraftHead
from fef.models.draft_head_file import DRAFT_HEAD, load_draft_head
from fef.models.profile import PROFILE, load_profile
from fef.models.transformer import Transformer

__all__ = ["Extras", "load_extras"]


@dataclass(frozen=True)
class Extras:
    dependency_head: DependencyHead | None = None
    information_profile: tuple[float, ...] | None = None
    draft_head: DraftHead | None = None


def load_extras(directory: Path, model: Transformer, drafts: bool = True) -> Extras:
    """Those that are there. drafts: the draft head, too. Raises CheckpointError for damaged files and for heads of another
    network.

    A quantized network gets no head: those that are there learned from the weights as stored.
    """
    heads = model.weight_format is None
    head, profile, draft_head = directory / DEMASK, directory / PROFILE, directory / DRAFT_HEAD
    return Extras(
        load_head(head, model) if heads and head.is_file() else None,
        load_profile(profile) if profile.is_file() else None,
        load_draft_head(draft_head, model) if heads and drafts and draft_head.is_file() else None,
    )
