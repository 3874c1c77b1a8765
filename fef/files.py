"""Files that are written whole or not at all, and what is refused before long work: those that could not be."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from fef.errors import InputError

__all__ = ["check_makeable", "check_not_read", "check_writable", "write_whole"]


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


def check_writable(path: Path, *read: Path | None) -> None:
    """Raise InputError, before long work, where `write_whole` could not write, and for one of the files that are read."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a {'directory' if path.is_dir() else 'device'}; give the name of a file.")
    check_not_read(path, *read)
    check_directory(path.parent, path)


def check_not_read(path: Path, *read: Path | None) -> None:
    """Raise InputError for a file to write that is one of those to read."""
    for other in read:
        if other is not None and path.exists() and other.exists() and path.samefile(other):
            raise InputError(f"{path} is to be read, and would be written over; give another file to write.")


def check_directory(directory: Path, path: Path) -> None:
    """Raise InputError, in the name of `path`, where no file can be made in `directory`."""
    try:
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        fix = "Give a place" if directory.exists() else f"Make the directory {directory}, or give a place"
        raise InputError(f"Cannot write {path}: {error.strerror}. {fix} where you can write.") from error


def check_makeable(path: Path) -> None:
    """Raise InputError where `path` could not be made, nor the directories that hold it."""
    check_directory(next(parent for parent in path.absolute().parents if parent.exists()), path)
