"""Files that are read as text, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fef.errors import InputError

__all__ = ["decode_text", "read_file", "write_whole"]


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}. Give a text file that you can read.") from error


def decode_text(raw: bytes, source: str) -> str:
    try:
        return raw.decode("utf-8-sig")  # editors on Windows begin a text with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8 (byte {error.start}). Convert it, for example with iconv.") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see the old one or the whole new one, never a part. Text is written as UTF-8. Raises
    OSError, and leaves what was there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
