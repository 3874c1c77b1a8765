"""Families of released checkpoints: a config mapping and a key map each, onto the one transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fef.errors import CheckpointError
from fef.models.config import TransformerConfig
from fef.models.families.causal import LLAMA, QWEN2, QWEN3
from fef.models.families.dream import DREAM
from fef.models.families.family import Family, Fields
from fef.models.families.llada import LLADA
from fef.models.families.llada2 import LLADA2
from fef.models.families.llada_moe import LLADA_MOE
from fef.models.families.sdar import SDAR
from fef.readers import shown

__all__ = ["CAUSAL", "LLAMA", "NATIVE", "QWEN2", "QWEN3", "RELEASED", "Family", "Fields", "family_of"]

NATIVE = Family(
    name="fef",
    released="what `fef train` writes",
    architectures=(),
    config=lambda fields: TransformerConfig.from_dict(dict(fields.values)),
)
RELEASED = (LLADA, LLADA_MOE, LLADA2, DREAM, SDAR)
CAUSAL = (LLAMA, QWEN2, QWEN3)


def family_of(values: Mapping[str, Any], where: str, families: Sequence[Family] = (NATIVE, *RELEASED)) -> Family:
    """The one of these families that a config.json names. Raises CheckpointError if it is none of them.

    Told by `architectures`, not by `model_type`, which LLaDA and LLaDA-MoE share.
    """
    if "architectures" not in values and "model_type" not in values and NATIVE in families:
        return NATIVE
    named = values.get("architectures") or [f"model_type {values.get('model_type')!r}"]
    if not isinstance(named, list):
        raise CheckpointError(f"{where}: config.json has architectures = {shown(named)}; it must be a list of names.")
    for family in families:
        if any(name in family.architectures for name in named):
            return family
    others = [family.released for family in families if not family.architectures]
    known = [f"{', '.join(family.architectures)} ({family.released})" for family in families if family.architectures]
    raise CheckpointError(
        f"{where} has the architecture {', '.join(map(str, named))}, which fef does not know here; it runs no code from "
        f"checkpoints. Supported: {'; '.join(known + [f'and {what}' for what in others])}."
    )
