"""Stored tensors streamed into a network on its device, in its dtype, with a few megabytes of memory on top.

Of directories only safetensors are read: pickled weights can run code when opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from fef.errors import CheckpointError
from fef.models.byte_planes import PLANES, joined
from fef.models.config import TransformerConfig
from fef.models.families import Family
from fef.models.homes import (
    VOCABULARY,
    Home,
    Placement,
    Rows,
    Span,
    Stored,
    place,
    row_count,
    row_shape,
    spans,
    stored_parts,
    whole,
)
from fef.models.quantize import QuantizedLinear, quantize_
from fef.models.transformer import Transformer, allocate, blank
from fef.models.unsupported import quantized_parts

__all__ = [
    "INDEX",
    "PICKLED",
    "WEIGHTS",
    "StoredWeights",
    "common_dtype",
    "fill_network",
    "load_weights",
    "stored_dtypes",
    "stored_sample",
]

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}  # that are read
ITEM_BYTES = {name: dtype.itemsize for name, dtype in DTYPES.items()}
MAPPED_BYTES = 1 << 24  # of a shard in memory at once: its pages leave when it is opened anew
COMPUTED = "rotary_emb.inv_freq"  # stored by old checkpoints, always computed
SAMPLE = 64  # numbers of each stored tensor in a digest
LISTED = 8  # keys of one kind in an error message


@dataclass(frozen=True)
class StoredWeights:
    """The tensors of a checkpoint. described_in: what says how its network looks. dtypes: those that can be read. read: the
    rows of some spans, piece by piece, and perhaps others of the same tensors."""

    path: Path
    described_in: str
    tensors: Sequence[Stored]
    dtypes: Collection[str]
    read: Callable[[Sequence[Span]], Iterator[Rows]]


def load_weights(
    path: Path,
    config: TransformerConfig,
    family: Family,
    device: torch.device | str,
    dtype: torch.dtype,
    weights: str | None = None,
    placement: Placement | None = None,
) -> Transformer:
    """The network of a model directory. Peak memory: its weights that are here and `MAPPED_BYTES`, whatever the shards' sizes
    and dtype.

    Raises CheckpointError that names the missing or damaged file, and as `fill_network`.
    """
    return fill_network(safetensors_of(path), config, family, device, dtype, weights, placement=placement)


@torch.no_grad()
def fill_network(
    stored: StoredWeights,
    config: TransformerConfig,
    family: Family,
    device: torch.device | str,
    dtype: torch.dtype,
    weights: str | None = None,
    new_tokens: int = 0,
    placement: Placement | None = None,
) -> Transformer:
    """The network that a config describes, with stored weights, of which only those are read that are wanted here.

    Routers stay float32. weights: a format of `fef.models.quantize`; rows are quantized as they are read, so the peak is
    that of the quantized weights and float32 copies of some rows. new_tokens: how many tokens at the end of the vocabulary
    are not stored; their rows become the mean of the others. device "meta" makes every check and reads no weight. placement:
    instead of the whole network on `device`, without gradients. Raises CheckpointError that lists the keys that do not fit;
    OptionError for an unknown format.
    """
    assert placement is None or (weights is None and not new_tokens), "shards are as they are stored"
    network = blank(config)
    check_keys(stored, stored_parts(network, family, new_tokens), network, family)
    network.to(dtype)
    for name, module in network.named_modules():
        if name.endswith(".router"):
            module.float()
    quantized: dict[str, QuantizedLinear] = {}
    if weights is not None:
        named = quantize_(network, weights).named_modules()
        quantized = {f"{name}.weight": module for name, module in named if isinstance(module, QuantizedLinear)}
    names = {name for name, _ in network.named_parameters()}
    placement = placement or Placement(lambda network: allocate(network, device).requires_grad_(False), whole)
    placement.allocate(network)
    network.eval()
    if network.device.type != "meta":
        parts = stored_parts(network, family, new_tokens, placement.held, names)
        homes = {key: [replace(p, rows=quantized.get(p.name, p.rows)) for p in found] for key, found in parts.items()}
        for tensor, start, rows in stored.read(spans(stored.tensors, homes)):
            place(rows, start, homes[tensor.key])
        if new_tokens:
            for name in VOCABULARY[: 1 if network.head is None else 2]:
                table_VD = network.get_parameter(name)
                table_VD[-new_tokens:] = table_VD[:-new_tokens].mean(0)
    return network


def safetensors_of(path: Path) -> StoredWeights:
    """The weights of a model directory, all shards there. Raises CheckpointError that names the missing or damaged file, or
    two that hold the same tensor."""
    tensors = [tensor for file in shard_files(path) for tensor in read_header(file)]
    found: dict[str, Stored] = {}
    for tensor in tensors:
        other = found.setdefault(tensor.key, tensor)
        if other is not tensor:
            raise CheckpointError(
                f"{path} holds {tensor.key} twice, in {other.file.name} and {tensor.file.name}, one of which is of other "
                "weights. Download or copy them again."
            )
    return StoredWeights(path, "config.json", tensors, ITEM_BYTES.keys(), stream)


def stored_dtypes(path: Path) -> dict[str, torch.dtype]:
    """The dtypes of the stored tensors of a model directory, by key."""
    return {tensor.key: DTYPES[tensor.dtype] for tensor in safetensors_of(path).tensors if tensor.dtype in DTYPES}


def stored_sample(path: Path) -> str:
    """A sha256 of some numbers of each stored tensor of a model directory: other weights of the same shapes have another."""
    digest = hashlib.sha256()
    stored = safetensors_of(path)
    firsts = [Span(tensor, 0, min(1, *tensor.shape[:1])) for tensor in stored.tensors if tensor.dtype in DTYPES]
    for tensor, _, rows in stored.read(firsts):
        digest.update(f"{tensor.key} {tensor.shape} {tensor.dtype}".encode())
        digest.update(rows.flatten()[:SAMPLE].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def common_dtype(path: Path) -> torch.dtype:
    """The one that holds all stored numbers of a model directory: float32 for those of 16 bits of both kinds, or for none."""
    return reduce(torch.promote_types, stored_dtypes(path).values() or [torch.float32])


def shard_files(path: Path) -> list[Path]:
    """The safetensors files of a directory, all of them there. One file goes before an index beside it, as in `transformers`,
    whose `save_pretrained` leaves the index of earlier shards."""
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if not (path / INDEX).is_file():
        raise CheckpointError(f"{path} has no {WEIGHTS}{missing_words(path)}")
    try:
        names = sorted(set(json.loads((path / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        others = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path / INDEX} is not an index of shards ({error!r}). Copy the file again.") from error
    if others:
        raise CheckpointError(
            f"{path / INDEX} names files that are not safetensors in its directory; fef reads no others."
        )
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path} lacks {', '.join(missing)}: {len(missing)} of the {len(names)} files that {INDEX} lists. Download or "
            "copy them again; files that are there are kept."
        )
    return [path / name for name in names]


def missing_words(path: Path) -> str:
    """The end of the sentence that says what is there instead of weights."""
    pickled = sorted(p.name for p in path.iterdir() if p.suffix in PICKLED)
    if pickled:
        return (
            f", but pickled weights ({', '.join(pickled)}), which can run code when opened; fef reads only safetensors. "
            f"Convert them with safetensors.torch.save_file to {WEIGHTS}."
        )
    if any(path.glob("*.gguf")):
        return ", but GGUF files, which are for llama.cpp. Download the safetensors of the model."
    if any(path.glob("model-*-of-*.safetensors")):
        return f" and no {INDEX}, which lists the shards that are there. Copy it too."
    return f" and no {INDEX}. Download or copy the weights."


def read_header(file: Path) -> list[Stored]:
    try:
        with safe_open(file, framework="pt") as shard:
            slices = {key: shard.get_slice(key) for key in shard.keys()}  # noqa: SIM118
            said = {key: (tuple(s.get_shape()), s.get_dtype()) for key, s in slices.items()}
            dtype = (shard.metadata() or {}).get(PLANES)
            if dtype is not None:
                check_planes(file, said, dtype)
                return [Stored(file, key, shape[1:], dtype, planes=True) for key, (shape, _) in said.items()]
            return [Stored(file, key, *of) for key, of in said.items()]
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} is truncated or damaged ({error}). Copy the file again, or download it."
        ) from error


def check_planes(file: Path, said: Mapping[str, tuple[tuple[int, ...], str]], dtype: str) -> None:
    """Raise CheckpointError for tensors that are not the planes of numbers of this dtype."""
    for key, (shape, stored) in said.items():
        if stored != "U8" or shape[:1] != (ITEM_BYTES.get(dtype),):
            raise CheckpointError(
                f"{file} says that its weights are byte planes of {dtype}, and {key} is {stored} of shape {list(shape)}. "
                "Write it anew with python -m fef.models.byte_planes."
            )


def check_keys(
    stored: StoredWeights, parts_of: Mapping[str, Sequence[Home]], network: Transformer, family: Family
) -> None:
    """Raise CheckpointError that lists keys which are missing, too many, misshaped or not floating point, or that says
    how they are quantized."""
    wanted = {key: (sum(map(row_count, parts)), *row_shape(parts[0])) for key, parts in parts_of.items()}
    found = {tensor.key: tensor for tensor in stored.tensors}
    spare = {family.stored_name("head.weight")} if network.config.tied_embeddings else set()
    extra = sorted(key for key in found.keys() - wanted.keys() - spare if not key.endswith(COMPUTED))
    shapes = [
        f"{key} is {tensor.dtype} {tensor.shape}, not a float {wanted[key]}"
        for key, tensor in sorted(found.items())
        if key in wanted and (tensor.shape != wanted[key] or tensor.dtype not in stored.dtypes)
    ]
    problems = {"missing": sorted(wanted.keys() - found.keys()), "extra": extra, "misshaped:": shapes}
    words = [f"{kind} {listed(keys)}" for kind, keys in problems.items() if keys]
    if words:
        quantized = quantized_parts(stored.path, ((tensor.key, tensor.dtype) for tensor in stored.tensors))
        if quantized is not None:
            raise quantized
        raise CheckpointError(
            f"The weights in {stored.path} do not fit its {stored.described_in}, which describes a {family.name} network: "
            f"{'; '.join(words)}."
        )


def listed(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more


def stream(wanted: Sequence[Span]) -> Iterator[Rows]:
    """The rows of these spans: (tensor, first row, rows), at most about `MAPPED_BYTES` of a shard mapped at a time."""
    shard: Any = None
    file, mapped = None, 0
    for span in wanted:
        tensor = span.tensor
        row_bytes = max(1, torch.Size(tensor.shape[1:]).numel() * ITEM_BYTES[tensor.dtype])
        step = max(1, MAPPED_BYTES // row_bytes)
        for start in range(span.start, span.stop, step):
            stop = min(start + step, span.stop)
            mapped += (stop - start) * row_bytes
            if file != tensor.file or mapped > MAPPED_BYTES:
                shard = safe_open(tensor.file, framework="pt")
                file, mapped = tensor.file, (stop - start) * row_bytes
            rows = shard.get_slice(tensor.key)
            if tensor.planes:
                yield tensor, start, joined(rows[:, start:stop], DTYPES[tensor.dtype])
            else:
                yield tensor, start, rows[start:stop]
