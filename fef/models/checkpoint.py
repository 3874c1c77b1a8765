"""Model directories: `config.json`, safetensors, a tokenizer. All families are read; ours is written, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from fef.errors import CheckpointError, OptionError
from fef.models.config import TransformerConfig
from fef.models.export import SHARD_BYTES, copy_small_files, write_weights
from fef.models.families import NATIVE, RELEASED, Family, Fields, family_of
from fef.models.homes import Placement
from fef.models.quantize import refuse_quantized
from fef.models.tokenizer import Tokenizer
from fef.models.tokenizer_files import TOKENIZER, load_tokenizer, named_tokens, read_json
from fef.models.transformer import Transformer
from fef.models.unsupported import refuse_adapter, refuse_prequantized
from fef.models.weights import load_weights, stored_dtypes
from fef.readers import whole_from

__all__ = [
    "CONFIG",
    "DELTA",
    "PACKED",
    "Description",
    "check_vocabulary",
    "demo_path",
    "describe",
    "load_checkpoint",
    "load_network",
    "read_fields",
    "refuse_overrides",
    "replace_directory",
    "require_tokenizer",
    "save_checkpoint",
    "smol_path",
    "write_checkpoint",
    "write_released",
]

DELTA = "delta.safetensors"  # in a directory: it is merged into its base
PACKED = "fef_packed"  # in a config.json of the official layout: weights trained for the packed pattern
CONFIG, GENERATION = "config.json", "generation_config.json"


def demo_path() -> Path:
    """The directory of the checkpoint shipped inside the package."""
    return Path(__file__).parent / "demo"


def smol_path() -> Path:
    """The directory of smol's delta: in a checkout inside the package, beside a wheel the package fef-smol."""
    own, spec = Path(__file__).parent / "smol", find_spec("fef_smol")
    places = [own, *map(Path, (spec and spec.submodule_search_locations) or ())]
    return next((place for place in places if (place / DELTA).is_file()), own)


@dataclass(frozen=True)
class Description:
    """What the small files of a model directory say: family, config and tokenizer (None if the directory has none)."""

    family: Family
    config: TransformerConfig
    tokenizer: Tokenizer | None


def load_checkpoint(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Transformer, Tokenizer]:
    """Read a model directory. Raises CheckpointError with what is wrong and how to fix it."""
    described = describe(path)
    tokenizer = require_tokenizer(path, described)
    return load_network(path, described, device, dtype), tokenizer


def require_tokenizer(path: Path, described: Description) -> Tokenizer:
    if described.tokenizer is None:
        raise no_tokenizer(path, "; without one, fef.models.checkpoint.load_network gives the bare network")
    return described.tokenizer


def no_tokenizer(path: Path, way_out: str = "") -> CheckpointError:
    return CheckpointError(
        f"{path} has no {TOKENIZER} (nor vocab.json with merges.txt). A model directory needs a tokenizer next to its "
        f"weights{way_out}."
    )


def load_network(
    path: Path,
    described: Description | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    weights: str | None = None,
    placement: Placement | None = None,
) -> Transformer:
    """The network of a model directory, without its text parts; weights: a format of `fef.models.quantize`; placement: as in
    `fef.models.weights.fill_network`.

    Raises CheckpointError as `load_checkpoint`, OptionError for an unknown format.
    """
    described = described or describe(path)
    return load_weights(path, described.config, described.family, device, dtype, weights, placement)


def describe(path: Path, mask_id: int | None = None, block_length: int | None = None) -> Description:
    """Read config and tokenizer, and no weights.

    mask_id, block_length: instead of what the checkpoint says, for released ones that do not say it. Raises
    CheckpointError for a directory that holds no supported checkpoint, or whose files do not fit together, OptionError as
    `refuse_overrides`, and for what is no such number.
    """
    family, tokenizer, fields = read_fields(path)
    if family is NATIVE:
        refuse_overrides(path, mask_id, block_length)
    else:
        values = {}
        if mask_id is not None:
            values["mask_token_id"] = whole_from("mask_id", mask_id, 0)
        if block_length is not None:
            values["block_size"] = whole_from("block_length", block_length, 1)
        fields = replace(fields, values={**fields.values, **values})
    config = family.config(fields)
    if block_length is not None and config.block_length != block_length:
        raise OptionError(
            f"block_length={block_length} is for block-causal networks, and the attention of {path} is {config.attention}; "
            "leave it out."
        )
    if family is not NATIVE and fields.flag(PACKED):
        config = replace(config, packed=True)
    if tokenizer is not None:
        check_vocabulary(path, tokenizer, config.vocab_size)
        if family is not NATIVE:
            check_mask(path, tokenizer, config.mask_id)
    return Description(family, config, tokenizer)


def refuse_overrides(path: Path, mask_id: int | None, block_length: int | None) -> None:
    """Raise OptionError for what a checkpoint of fef's own says itself."""
    for name, value in (("mask_id", mask_id), ("block_length", block_length)):
        if value is not None:
            raise OptionError(f"{name}={value} is for released checkpoints, and {path} says its own; leave it out.")


def read_fields(
    path: Path, families: Sequence[Family] = (NATIVE, *RELEASED)
) -> tuple[Family, Tokenizer | None, Fields]:
    """The one of these families that a directory belongs to, its tokenizer, and what its small files say. Raises as
    `describe`."""
    if not path.is_dir():
        raise CheckpointError(
            f"{str(path)!r} is not a model directory. Give a directory with {CONFIG}, the name of a Hugging Face "
            "repository such as 'GSAI-ML/LLaDA-8B-Instruct', or 'demo'."
        )
    refuse_adapter(path)
    values = read_config(path)
    refuse_prequantized(path, values)
    family = family_of(values, str(path), families)
    tokenizer = load_tokenizer(path)
    if tokenizer is None:
        return family, None, Fields(str(path), values, read_json(path / GENERATION))
    named = {name: tokenizer.raw.token_to_id(text) for name, text in named_tokens(path).items()}
    return (
        family,
        tokenizer,
        Fields(
            str(path),
            values,
            read_json(path / GENERATION),
            {name: token for name, token in named.items() if token is not None},
            tokenizer.ids_of(family.turn_ends),
        ),
    )


def check_vocabulary(path: Path, tokenizer: Tokenizer, rows: int) -> None:
    """Raise CheckpointError for a tokenizer of more entries than the `rows` of the embedding."""
    if tokenizer.vocab_size > rows:
        raise CheckpointError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} entries but the network embeds {rows}; the two belong to "
            "different models."
        )


def check_mask(path: Path, tokenizer: Tokenizer, mask_id: int) -> None:
    if tokenizer.raw.id_to_token(mask_id) is None:
        raise CheckpointError(
            f"{path}: the mask id of the network is {mask_id}, but its tokenizer has no such token (it has "
            f"{tokenizer.vocab_size}); the two files belong to different models."
        )


def save_checkpoint(
    path: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    dtype: torch.dtype = torch.bfloat16,
    extra: Callable[[Path], None] | None = None,
) -> None:
    """Write a model directory; on any failure (a full disk) an older one at `path` survives untouched.

    `extra(directory)` may add files before the directory takes its place. Raises OptionError for a quantized network.
    """
    with replace_directory(path) as fresh:
        write_checkpoint(fresh, model, tokenizer, dtype)
        if extra is not None:
            extra(fresh)


def write_checkpoint(
    directory: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    dtype: torch.dtype = torch.bfloat16,
    gather: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    writes: bool = True,
) -> None:
    """The files of a model directory. gather, writes: as in `write_weights`. Raises as `save_checkpoint`."""
    refuse_quantized(model, "saved")
    if writes:
        (directory / CONFIG).write_text(json.dumps(model.config.to_dict(), indent=1) + "\n", encoding="utf-8")
        tokenizer.save(directory / TOKENIZER)
    write_weights(directory, model.state_dict(), NATIVE, {}, dtype, gather=gather, writes=writes)


def write_released(
    directory: Path,
    model: Transformer,
    source: Path,
    family: Family,
    gather: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    writes: bool = True,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """The files of a released checkpoint, `source`, with the weights of `model` in their names, joins and dtypes. gather,
    writes, shard_bytes: as in `write_weights`. Raises OptionError for a quantized network."""
    refuse_quantized(model, "saved")
    if writes:
        copy_small_files(source, directory)
        values = read_json(directory / CONFIG)
        if model.config.packed or values.get(PACKED):  # training without the packed law ends it
            values |= {PACKED: model.config.packed}
            (directory / CONFIG).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    dtypes = stored_dtypes(source)
    write_weights(directory, model.state_dict(), family, dtypes, shard_bytes=shard_bytes, gather=gather, writes=writes)


@contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """A fresh sibling directory that takes the place of `path` only if the body succeeds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
    except OSError as error:
        raise CheckpointError(f"Could not write {path}: {error}. Give a directory that you may write to.") from error
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    try:
        yield fresh
        fresh.chmod(0o755)  # private until now, like the files safetensors writes
        for file in fresh.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        if isinstance(error, OSError | SafetensorError):
            raise CheckpointError(f"Could not write {path}: {error}. What was there before is unchanged.") from error
        raise


def read_config(path: Path) -> dict[str, Any]:
    if not (path / CONFIG).is_file():
        raise CheckpointError(
            f"{path} has no {CONFIG}. Give the directory of a released checkpoint, one written by `fef train`, or 'demo'."
        )
    return read_json(path / CONFIG)
