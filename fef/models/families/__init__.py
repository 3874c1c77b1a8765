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

__all__ = ["CAUSAL", "LLAMA", "NATIVE", "QWEN2", "QWEN3", "RELEASED", "Family", "Fields", "family_of", "unfit"]

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
    named = values.get("architectures") or []
    if not isinstance(named, list):
        raise CheckpointError(f"{where}: config.json has architectures = {shown(named)}; it must be a list of names.")
    unnamed = "architectures" not in values and "model_type" not in values
    found = [f for f in (NATIVE, *RELEASED, *CAUSAL) if any(n in f.architectures for n in named)]
    family = NATIVE if unnamed else next(iter(found), None)
    if family is None:
        words = ", ".join(map(str, named)) or f"model_type {values.get('model_type')!r}"
        what = f"has the architecture {words}, which fef does not know here; it runs no code from checkpoints"
    elif family in families:
        return family
    elif family in CAUSAL:
        what = f"is a causal model ({family.released}); `fef adapt` makes a diffusion model of it"
    else:
        what = f"is no causal model as they are released: it is {family.released}"
    raise unfit(where, what, families)


def unfit(where: str, what: str, families: Sequence[Family]) -> CheckpointError:
    """The error for a model that is none of these families. what: it is instead."""
    others = [f"and {family.released}" for family in families if not family.architectures]
    known = [f"{', '.join(family.architectures)} ({family.released})" for family in families if family.architectures]
    return CheckpointError(f"{where} {what}. Supported: {'; '.join(known + others)}.")
