"""Which fef this is: its version and, in a git checkout, the state of its files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import fef

__all__ = ["git_state", "version_words"]


def version_words() -> str:
    """`0.1.0`, or in a checkout `0.1.0 (git a5feffc, with changes)`."""
    state = git_state(Path(fef.__file__).parents[1])
    return fef.__version__ if state is None else f"{fef.__version__} ({state})"


def git_state(folder: Path) -> str | None:
    """The commit of the checkout that `folder` is the top of, and whether tracked files differ from it.

    None where the folder is no top of a checkout, as of an installed wheel, and where git does not answer.
    """
    if not (folder / ".git").exists():
        return None
    commit, changes = git(folder, "rev-parse", "--short", "HEAD"), git(folder, "status", "--porcelain", "-uno")
    if commit is None or changes is None:
        return None
    return f"git {commit}" + (", with changes" if changes else "")


def git(folder: Path, *words: str) -> str | None:
    """What git prints, or None where there is no git, it fails, or takes five seconds."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
