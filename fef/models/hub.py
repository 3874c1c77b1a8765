"""Where a model lives: a shipped one, a directory, or a Hugging Face repository in its local cache.

Cache, offline mode (`HF_HUB_OFFLINE=1`), tokens (`HF_TOKEN`, `hf auth login`), resumed downloads and progress bars are
those of `huggingface_hub`.
"""

from __future__ import annotations

import re
from pathlib import Path

from fef.errors import CheckpointError
from fef.models.checkpoint import DELTA, demo_path, smol_path
from fef.readers import shown

__all__ = ["SHIPPED", "download_weights", "is_repository", "locate", "path_of"]

SHIPPED = ("demo", "smol")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SMALL_FILES = ["*.json", "*.txt", "*.jinja"]
WEIGHT_FILES = ["*.safetensors"]


def locate(name: str, revision: str | None = None, token: str | None = None) -> Path:
    """The directory of a model, with its small files; of a repository those are downloaded first.

    Raises CheckpointError for a repository that cannot be had, with the way out, and for what can be no name.
    """
    path = path_of(name)
    if name == "demo":
        if not demo_path().is_dir():
            raise CheckpointError("This installation has no shipped checkpoint; reinstall fef, or give another model.")
        return demo_path()
    if name == "smol":
        if not (smol_path() / DELTA).is_file():
            raise CheckpointError(
                f"This installation has no delta for smol ({smol_path() / DELTA}): wheels of fef leave it to the package "
                "fef-smol, `pip install ./packages/smol` in a checkout. Install that, or give another model."
            )
        return smol_path()
    return download(name, revision, token, SMALL_FILES) if is_repository(name) else path


def path_of(name: str) -> Path:
    """The place that a name would have here. Raises CheckpointError for what is no text, or cannot be the name of a file."""
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{shown(name)} is no name of a model. Give text: a directory, the name of a Hugging Face repository such as "
            "'GSAI-ML/LLaDA-8B-Instruct', or 'demo'."
        )
    try:
        path = Path(name).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # said with what a model directory needs, or a repository
    except (OSError, RuntimeError, ValueError) as error:  # too long, not readable, no such home, a zero byte
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise CheckpointError(f"{shown(name)} cannot be the name of a model directory ({reason}).") from error
    return path


def is_repository(name: str) -> bool:
    """Whether `name` can only be a Hugging Face repository: owner/name, and no such directory here."""
    return REPOSITORY.fullmatch(name) is not None and not Path(name).exists()


def download_weights(name: str, path: Path, token: str | None = None) -> None:
    """Add the weights of a repository to the small files that `locate` put into `path`: the same commit, whatever has changed
    since. What lies here already has them."""
    if is_repository(name):
        download(name, path.name, token, WEIGHT_FILES)


def download(name: str, revision: str | None, token: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import errors, snapshot_download  # half a second that only repositories need

    at = f"{name} at revision {revision!r}" if revision else name
    try:
        return Path(
            snapshot_download(name, revision=revision, token=token, allow_patterns=patterns, ignore_patterns=["*/*"])
        )
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{name} is gated: its owners give access on request. Ask for it on the page of the repository, then log in "
            "with `hf auth login` or pass token=..."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(
            f"{name} has no revision {revision!r}. Give a branch, a tag or a commit of it."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no directory {name!r} here, and no repository of that name on the Hugging Face hub that you may "
            "read. Check the spelling; for a private one log in with `hf auth login` or pass token=..."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{at} is not (wholly) in the local cache, and the Hugging Face hub cannot be reached. To work offline, run "
            f"`hf download {name}` where there is a network and copy the cache (HF_HOME), or give the path of a directory "
            "that holds the files."
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        raise CheckpointError(f"{at} could not be downloaded: {error}.") from error
