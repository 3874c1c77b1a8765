"""Files of information profiles (see `fef.laws.information`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fef.errors import CheckpointError

__all__ = ["PROFILE", "load_profile", "save_profile"]

PROFILE = "profile.json"


def save_profile(file: Path, profile: Sequence[float]) -> None:
    """Write f(k), k = 0 .. L-1 tokens revealed, nats."""
    file.write_text(json.dumps({"nats_per_token_by_revealed": [round(float(f), 5) for f in profile]}) + "\n", "utf-8")


def load_profile(file: Path) -> tuple[float, ...]:
    """Read it back. Raises CheckpointError for a file that is none."""
    try:
        values = json.loads(file.read_text("utf-8"))["nats_per_token_by_revealed"]
        profile = tuple(float(f) for f in values)
    except FileNotFoundError:
        raise CheckpointError(f"There is no information profile {file}. `fef profile` makes one.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is no information profile ({error}). Make one with `fef profile`.") from error
    if not profile or not all(0 <= f < float("inf") for f in profile):
        raise CheckpointError(f"{file} holds no finite, non-negative nats. Make a profile with `fef profile`.")
    return profile
