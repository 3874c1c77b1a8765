"""Model directories: `config.json`, `model.safetensors`, `tokenizer.json`. Safetensors only, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fef.errors import CheckpointError
from fef.models.config import TransformerConfig
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer

__all__ = ["demo_path", "load_checkpoint", "replace_directory", "save_checkpoint"]

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def demo_path() -> Path:
    """The directory of the checkpoint shipped inside the package."""
    return Path(__file__).parent / "demo"


def load_checkpoint(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Transformer, Tokenizer]:
    """Read a model directory. Raises CheckpointError with what is wrong and how to fix it."""
    if not path.is_dir():
        raise CheckpointError(f"{str(path)!r} is not a model directory. Give a directory with {CONFIG}, or 'demo'.")
    config = TransformerConfig.from_dict(read_config(path))
    tokenizer = Tokenizer.load(path / TOKENIZER)
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} entries but the network embeds {config.vocab_size}; "
            "the two files belong to different models."
        )
    weights = read_weights(path)
    with torch.device("meta"):
        model = Transformer(config)
    check_keys(path, weights, model.state_dict())
    model.load_state_dict({k: v.to(device=device, dtype=dtype) for k, v in weights.items()}, assign=True)
    return model.eval().requires_grad_(False), tokenizer


def save_checkpoint(
    path: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    dtype: torch.dtype = torch.bfloat16,
    extra: Callable[[Path], None] | None = None,
) -> None:
    """Write a model directory; on any failure (a full disk) an older one at `path` survives untouched.

    `extra(directory)` may add files before the directory takes its place.
    """
    with replace_directory(path) as fresh:
        (fresh / CONFIG).write_text(json.dumps(model.config.to_dict(), indent=1) + "\n", encoding="utf-8")
        tokenizer.save(fresh / TOKENIZER)
        weights = {k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()}
        save_file(weights, fresh / WEIGHTS, metadata={"format": "pt"})
        if extra is not None:
            extra(fresh)


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


def read_config(path: Path) -> dict[str, object]:
    try:
        values = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} has no {CONFIG}. Give a directory written by `fef train`, or 'demo'.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path / CONFIG} is not valid JSON ({error}). Copy the file again.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path / CONFIG} must hold a JSON object.")
    return values


def read_weights(path: Path) -> dict[str, Tensor]:
    file = path / WEIGHTS
    if not file.is_file():
        pickled = sorted(p.name for p in path.iterdir() if p.suffix in PICKLED)
        if pickled:
            raise CheckpointError(
                f"{path} holds pickled weights ({', '.join(pickled)}), which can run code when opened; fef reads only "
                f"safetensors. Convert them with safetensors.torch.save_file to {WEIGHTS}."
            )
        raise CheckpointError(f"{path} has no {WEIGHTS}.")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is truncated or damaged ({error}). Copy the file again.") from error


def check_keys(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    missing = sorted(wanted.keys() - found.keys())
    extra = sorted(found.keys() - wanted.keys())
    shapes = [
        f"{k} is {tuple(found[k].shape)}, not {tuple(wanted[k].shape)}"
        for k in sorted(wanted.keys() & found.keys())
        if found[k].shape != wanted[k].shape
    ]
    problems = [f"missing {', '.join(missing)}"] * bool(missing) + [f"extra {', '.join(extra)}"] * bool(extra) + shapes
    if problems:
        raise CheckpointError(f"{path / WEIGHTS} does not fit its {CONFIG}: {'; '.join(problems)}.")
