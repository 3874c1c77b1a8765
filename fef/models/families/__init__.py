"""Families of released checkpoints: a config mapping and a key map each, onto the one transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fef.errors import CheckpointError
from fef.models.config import TransformerConfig
from fef.models.families.dream import DREAM
from fef.models.families.family import Family, Fields
from fef.models.families.llada import LLADA
from fef.models.families.llada2 import LLADA2
from fef.models.families.llada_moe import LLADA_MOE
from fef.models.families.sdar import SDAR
from fef.readers import shown

__all__ = ["NATIVE", "RELEASED", "Family", "Fields", "family_of"]

NATIVE = Family(
    name="fef",
    released="what `fef train` writes",
    architectures=(),
    config=lambda fields: TransformerConfig.from_dict(dict(fields.values)),
)
RELEASED = (LLADA, LLADA_MOE, LLADA2, DREAM, SDAR)


def family_of(values: Mapping[str, Any], where: str) -> Family:
    """The family that a config.json names. Raises CheckpointError for one that is not supported.

    Told by `architectures`, not by `model_type`, which LLaDA and LLaDA-MoE share.
    """
    if "architectures" not in values and "model_type" not in values:
        return NATIVE
    named = values.get("architectures") or [f"model_type {values.get('model_type')!r}"]
    if not isinstance(named, list):
        raise CheckpointError(f"{where}: config.json has architectures = {shown(named)}; it must be a list of names.")
    for family in RELEASED:
        if any(name in family.architectures for name in named):
            return family
    supported = "; ".join(f"{', '.join(family.architectures)} ({family.released})" for family in RELEASED)
    raise CheckpointError(
        f"{where} has the architecture {', '.join(map(str, named))}, which fef does not know; it runs no code from "
        f"checkpoints. Supported: {supported}; and what `fef train` writes."
    )
