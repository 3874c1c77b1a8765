"""One writer to an output directory: a lock that its process loses when it ends, however it ends."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fef.errors import InputError

__all__ = ["sole_writer"]


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Raises InputError where another process of this user on this machine writes `out`.

    The lock lies in the directory for temporary files: `out` itself is replaced as a whole, and its parent may not exist.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    name = hashlib.sha256(str(out.expanduser().resolve()).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"fef-{os.getuid()}-{name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.read(handle, 20).decode() or "unknown"
            raise InputError(
                f"Process {process} is writing {out}; wait until it has ended, or give --out another directory."
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)
