"""Which weights these are: a sha256 of the files that hold them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fef.errors import CheckpointError
from fef.models.weights import shard_files

__all__ = ["file_sha256", "fingerprint"]


def fingerprint(path: Path) -> str:
    """The sha256 of a GGUF file; of a model directory, that of its shards' digests. Raises CheckpointError for no weights."""
    if path.is_file():
        return file_sha256(path)
    digests = "".join(file_sha256(file) for file in shard_files(path))
    return hashlib.sha256(digests.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}. Give a file that you can read.") from error
