"""Weights of a network written in the layout of its family: the names, joins and dtypes of a released checkpoint, in shards.

The inverse of `fef.models.weights`: what is written here is read there, and by the official code of the family.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from fef.models.families import Family
from fef.models.weights import INDEX, WEIGHTS

__all__ = ["SHARD_BYTES", "copy_small_files", "stored_layout", "write_weights"]

SHARD_BYTES = 4 << 30  # of one file, and of the memory that writing takes
SMALL_FILES = ("*.json", "*.txt", "*.jinja", "*.model", "*.py")
NOT_COPIED = (INDEX, "adapter_config.json")
Gather = Callable[[Tensor], Tensor]


@dataclass
class Part:
    """A parameter, or the slice of one, that stands in a stored tensor."""

    name: str
    expert: int | None = None

    def of(self, state: Mapping[str, Tensor], gather: Gather) -> Tensor:
        tensor = gather(state[self.name])
        return tensor if self.expert is None else tensor[self.expert]


@dataclass
class Entry:
    """A stored tensor: its parts one after another, and its bytes."""

    key: str
    dtype: torch.dtype
    parts: list[Part] = field(default_factory=list)
    bytes: int = 0

    def of(self, state: Mapping[str, Tensor], gather: Gather) -> Tensor:
        parts = [part.of(state, gather).to("cpu", self.dtype) for part in self.parts]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).contiguous()


def write_weights(
    directory: Path,
    state: Mapping[str, Tensor],
    family: Family,
    dtypes: Mapping[str, torch.dtype],
    default: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES,
    gather: Gather = lambda tensor: tensor,
    writes: bool = True,
) -> None:
    """Write the parameters of a network, by name, as the family stores them.

    dtypes: of stored keys; the others have `default`. gather: makes a tensor whole; where several processes hold parts of
    it, all of them call this function, and those that do not write only gather. An error of writing is raised at the end.
    """
    shards = list(in_shards(stored_layout(state, family, dtypes, default), shard_bytes))
    names = [shard_name(number, len(shards)) for number in range(len(shards))]
    failed: Exception | None = None
    for name, entries in zip(names, shards, strict=True):
        tensors = {}
        for entry in entries:
            tensor = entry.of(state, gather)
            if writes:
                tensors[entry.key] = tensor
        if writes and failed is None:
            try:
                save_file(tensors, directory / name, metadata={"format": "pt"})
            except Exception as error:  # raised when all tensors have been gathered
                failed = error
    if failed is not None:
        raise failed
    if writes and len(shards) > 1:
        where = {entry.key: name for name, entries in zip(names, shards, strict=True) for entry in entries}
        total = sum(entry.bytes for entries in shards for entry in entries)
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
        (directory / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def stored_layout(
    state: Mapping[str, Tensor], family: Family, dtypes: Mapping[str, torch.dtype], default: torch.dtype
) -> list[Entry]:
    """What a family stores of these parameters, in the order of the network."""
    entries: dict[str, Entry] = {}
    for name, tensor in state.items():
        general = family.stored_name(name)
        experts: Iterable[int | None] = range(len(tensor)) if "{expert}" in general else [None]
        for expert in experts:
            key = general.replace("{expert}", str(expert))
            entry = entries.setdefault(key, Entry(key, dtypes.get(key, default)))
            entry.parts.append(Part(name, expert))
            entry.bytes += tensor.shape[1:].numel() * (len(tensor) if expert is None else 1) * entry.dtype.itemsize
    return list(entries.values())


def in_shards(entries: Iterable[Entry], shard_bytes: int) -> Iterator[list[Entry]]:
    shard: list[Entry] = []
    for entry in entries:
        if shard and sum(e.bytes for e in shard) + entry.bytes > shard_bytes:
            yield shard
            shard = []
        shard.append(entry)
    yield shard


def shard_name(number: int, count: int) -> str:
    return WEIGHTS if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def copy_small_files(source: Path, directory: Path) -> None:
    """Config, tokenizer, template and code of a released checkpoint beside new weights."""
    for pattern in SMALL_FILES:
        for file in source.glob(pattern):
            if file.name not in NOT_COPIED:
                shutil.copyfile(file, directory / file.name)
