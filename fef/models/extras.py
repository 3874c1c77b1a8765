"""What may come with the weights of a checkpoint: heads for dependencies and drafts, an information profile, layers for
`ssmd` and `adjust`, an unmasking policy, and a causal model of the same tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from fef.models.demask import DEMASK, DependencyHead, load_head
from fef.models.draft_head import DraftHead
from fef.models.draft_head_file import DRAFT_HEAD, load_draft_head
from fef.models.hidden_layer import HiddenLayer, load_layer
from fef.models.joint_layer import JointLayer
from fef.models.order_block import OrderBlock
from fef.models.profile import PROFILE, load_profile
from fef.models.transformer import Transformer
from fef.models.unmask_policy import POLICY, UnmaskPolicy, load_policy

__all__ = ["Extras", "load_extras"]

Layer = TypeVar("Layer", bound=HiddenLayer)


@dataclass(frozen=True)
class Extras:
    dependency_head: DependencyHead | None = None
    information_profile: tuple[float, ...] | None = None
    order_block: OrderBlock | None = None  # the order-causal layer
    causal_model: Any = None  # of the same tokens (`fef.models.causal`), or where it is
    draft_head: DraftHead | None = None
    unmask_policy: UnmaskPolicy | None = None
    joint_layer: JointLayer | None = None

    def to(self, device: str | torch.device, dtype: torch.dtype) -> None:
        """Move every part, in place; the policy keeps its dtype."""
        for part in (self.dependency_head, self.order_block, self.joint_layer, self.causal_model, self.draft_head):
            if isinstance(part, nn.Module):
                part.to(device=device, dtype=dtype)
        if self.unmask_policy is not None:
            self.unmask_policy.to(device)


def load_extras(directory: Path, model: Transformer, base: Path | None = None, drafts: bool = True) -> Extras:
    """Those that are there; base: where the causal model is that the network was made of. drafts: the draft head, too. Raises
    CheckpointError for damaged files and for heads of another network.

    A quantized network gets no head and no layer: those that are there learned from the weights as stored.
    """
    as_stored = model.weight_format is None
    head, profile = directory / DEMASK, directory / PROFILE
    draft_head, policy = directory / DRAFT_HEAD, directory / POLICY
    return Extras(
        load_head(head, model) if as_stored and head.is_file() else None,
        load_profile(profile) if profile.is_file() else None,
        layer_in(directory, OrderBlock, model),
        base,
        load_draft_head(draft_head, model) if drafts and as_stored and draft_head.is_file() else None,
        load_policy(policy).to(model.device) if policy.is_file() else None,
        layer_in(directory, JointLayer, model),
    )


def layer_in(directory: Path, kind: type[Layer], model: Transformer) -> Layer | None:
    path = directory / kind.file()
    return load_layer(path, kind, model) if model.weight_format is None and path.is_file() else None
