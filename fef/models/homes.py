"""The tensors of a checkpoint, and where they go: into parameters, or into those rows of them that are in memory here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fef.models.families import Family
from fef.models.quantize import QuantizedLinear
from fef.models.transformer import Transformer

__all__ = [
    "VOCABULARY",
    "Held",
    "Home",
    "Placement",
    "Rows",
    "Span",
    "Stored",
    "place",
    "row_count",
    "row_shape",
    "spans",
    "stored_parts",
    "whole",
]

VOCABULARY = ("embed.weight", "head.weight")  # parameters with a row per token


@dataclass(frozen=True)
class Stored:
    """A tensor of a file."""

    file: Path
    key: str
    shape: tuple[int, ...]
    dtype: str
    planes: bool = False  # are its bytes stored as planes (`fef.models.byte_planes`)?


@dataclass(frozen=True)
class Span:
    """Rows of a stored tensor, from `start` up to `stop`."""

    tensor: Stored
    start: int
    stop: int


Rows = tuple[Stored, int, Tensor]
"""Rows of a stored tensor: which one, the number of the first, and their values."""


Held = Callable[[Tensor], tuple[int, Tensor]]
"""Of a parameter, what is in the memory of this process: the number of its first row, and the rows."""


def whole(parameter: Tensor) -> tuple[int, Tensor]:
    """All rows are here."""
    return 0, parameter


@dataclass(frozen=True)
class Placement:
    """Where a blank network gets its memory. allocate: all of it that is here, in place. held: what is here."""

    allocate: Callable[[Transformer], object]
    held: Held


@dataclass(frozen=True)
class Home:
    """Where rows of a stored tensor go, from row `start` of it on: into those of the parameter `name`."""

    name: str
    start: int
    rows: Tensor | QuantizedLinear


def stored_parts(
    network: Transformer,
    family: Family,
    new_tokens: int = 0,
    held: Held = whole,
    names: Collection[str] | None = None,
) -> dict[str, list[Home]]:
    """The parameters, or slices of them, that each stored key fills row by row. names: of the stored ones, by default all."""
    parts: dict[str, list[Home]] = {}
    ends: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        if names is not None and name not in names:
            continue
        general = family.stored_name(name)
        first, rows = held(parameter)
        pieces = [(general, first, rows, len(parameter))]
        if new_tokens and name in VOCABULARY:
            stored = len(parameter) - new_tokens
            pieces = [(general, first, rows[:stored], stored)]
        if "{expert}" in general:
            keys = [general.replace("{expert}", str(expert)) for expert in range(first, first + len(rows))]
            pieces = [(key, 0, part, len(part)) for key, part in zip(keys, rows, strict=True)]
        for key, offset, part, length in pieces:
            end = ends.get(key, 0)
            parts.setdefault(key, []).append(Home(name, end + offset, part))
            ends[key] = end + length
    return parts


def spans(tensors: Sequence[Stored], homes: Mapping[str, Sequence[Home]]) -> list[Span]:
    """The rows that have a home, in the order in which they are stored."""
    return [
        Span(tensor, home.start, home.start + row_count(home))
        for tensor in tensors
        for home in homes.get(tensor.key, ())
        if row_count(home)
    ]


def row_count(home: Home) -> int:
    return len(tensor_of(home))


def row_shape(home: Home) -> torch.Size:
    return tensor_of(home).shape[1:]


def tensor_of(home: Home) -> Tensor:
    return home.rows.weight if isinstance(home.rows, QuantizedLinear) else home.rows


def place(rows: Tensor, start: int, homes: Sequence[Home]) -> None:
    """Copy stored rows from `start` on into the homes that have some of them, or quantize them there."""
    for home in homes:
        low, high = max(start, home.start), min(start + len(rows), home.start + row_count(home))
        if low < high:
            part = rows[low - start : high - start]
            if isinstance(home.rows, QuantizedLinear):
                home.rows.fill(low - home.start, part)
            else:
                home.rows[low - home.start : high - home.start].copy_(part)
