"""What a directory loads: its own weights, or a delta merged into the base that it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fef.errors import CheckpointError
from fef.models.causal import CausalDescription, describe_causal
from fef.models.chat import ChatTemplate
from fef.models.checkpoint import DELTA, Description, describe, load_network, refuse_overrides, require_tokenizer
from fef.models.delta import Delta, merge, read_delta
from fef.models.families import NATIVE
from fef.models.shipped import check_shipped
from fef.models.smol_base import BASE_SHA256, check_base, find_base
from fef.models.tokenizer import Tokenizer
from fef.models.tokenizer_files import read_json
from fef.models.transformer import Transformer

__all__ = ["ADAPTATION", "Merged", "describe_source", "load_source", "network_of", "origin_of", "template_of"]

ADAPTATION = "adaptation.json"


@dataclass(frozen=True)
class Merged(Description):
    """A delta, the path of its base, and what the base is."""

    base: Path
    described: CausalDescription
    delta: Delta


def describe_source(path: Path, mask_id: int | None = None, block_length: int | None = None) -> Description:
    """As `fef.models.checkpoint.describe`, and of directories with a delta. Raises CheckpointError, also where the base of a
    delta is not on this machine."""
    if not (path / DELTA).is_file():
        return describe(path, mask_id, block_length)
    refuse_overrides(path, mask_id, block_length)
    delta = read_delta(path / DELTA)
    base = base_of(path, delta)
    described = describe_causal(base)
    return Merged(NATIVE, delta.config, described.tokenizer, base, described, delta)


def base_of(path: Path, delta: Delta) -> Path:
    if delta.base == BASE_SHA256:
        base = find_base()
        check_base(base)
        return base
    named = delta.facts.get("adaptation", {}).get("source")
    try:
        base = Path(str(named)).expanduser()
        there = named is not None and base.exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such home, a zero byte
        there = False
    if not there:
        raise CheckpointError(
            f"{path} holds a delta, and its base {str(named or '')[:200]} with sha256 {delta.base[:12]}... is not on this "
            "machine; copy the base there."
        )
    return base


def network_of(
    path: Path,
    described: Description,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    weights: str | None = None,
) -> Transformer:
    """As `fef.models.checkpoint.load_network`, of anything that was described here. Raises CheckpointError also for a shipped
    model that is not whole."""
    check_shipped(path)
    if isinstance(described, Merged):
        return merge(described.base, described.described, described.delta, device, dtype, weights)
    return load_network(path, described, device, dtype, weights)


def load_source(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Transformer, Tokenizer]:
    """Network and tokenizer. Raises CheckpointError with what is wrong and how to fix it."""
    described = describe_source(path)
    return network_of(path, described, device, dtype), require_tokenizer(path, described)


def template_of(path: Path, described: Description) -> ChatTemplate | None:
    """The chat template beside the weights, else that of a delta's base."""
    own = ChatTemplate.load(path)
    return described.described.template if own is None and isinstance(described, Merged) else own


def origin_of(path: Path, described: Description) -> dict[str, Any] | None:
    """What `fef adapt` noted of an adapted model; None of others."""
    if isinstance(described, Merged):
        facts = described.delta.facts
        return {**facts.get("adaptation", {}), "delta_rank": facts.get("rank")}
    return read_json(path / ADAPTATION) or None
