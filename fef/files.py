"""Files that are read as text, and written whole or not at all."""

from __future__ import annotations

import os
import secrets
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
    """Write a file so that readers see the old one or the whole new one, never a part. Text is written as UTF-8; who may read
    it is as of any new file. Raises OSError, and leaves what was there."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with fresh.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
