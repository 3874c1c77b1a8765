"""The golden data: what the official code of each family does with a tiny checkpoint. Families and cases are those found.

`FEF_GOLDEN` names the folder; by default `../shared/golden` next to the repository, else the copy in `data`.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from fef.models.checkpoint import Description, describe, load_network
from fef.models.transformer import Transformer

TOLERANCE = 3e-4  # logits of standard deviation 4; the official code differs from itself by 1e-4 in float32
BUG = 1e-2

HERE = Path(__file__).resolve()
SHARED = HERE.parents[3] / "shared" / "golden"
GOLDEN = Path(os.environ.get("FEF_GOLDEN") or (SHARED if SHARED.is_dir() else HERE.parent / "data"))


def families(file: str) -> list[str]:
    """Names of the families that have such a file."""
    return sorted(path.parent.name for path in GOLDEN.glob(f"*/{file}"))


def cases(file: str) -> list[tuple[str, str]]:
    """(family, case name) of every case that the JSON files of this name list."""
    return [(family, case["name"]) for family in families(file) for case in read(family, file)["cases"]]


def case_of(family: str, file: str, name: str) -> dict[str, Any]:
    return next(case for case in read(family, file)["cases"] if case["name"] == name)


@functools.cache
def read(family: str, file: str) -> dict[str, Any]:
    return json.loads((GOLDEN / family / file).read_text(encoding="utf-8"))


@functools.cache
def tensors(family: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / family / "forward.safetensors")


def case_tensors(family: str, name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): t for key, t in tensors(family).items() if key.startswith(f"{name}.")}


@functools.cache
def description(family: str) -> Description:
    """The checkpoint's own; the mask id of a checkpoint that stores none comes from the decoding cases."""
    decode = GOLDEN / family / "decode.json"
    mask_id = read(family, decode.name)["special_ids"]["mask"] if decode.is_file() else None
    return describe(GOLDEN / family / "checkpoint", mask_id)


@functools.cache
def network(family: str) -> Transformer:
    return load_network(GOLDEN / family / "checkpoint", description(family))
