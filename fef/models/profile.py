"""Files of information profiles (see `fef.laws.information`)."""

from __future__ import annotations

import json
from pathlib import Path

from fef.errors import CheckpointError
from fef.laws.information import Profile

__all__ = ["PROFILE", "load_profile", "profile_json"]

PROFILE = "profile.json"


def profile_json(profile: Profile) -> str:
    """The text of a profile's file; nats to five decimals."""
    return json.dumps(
        {
            "nats_per_token_by_revealed": [round(f, 5) for f in profile.nats],
            "standard_errors": [round(e, 5) for e in profile.errors],
            "texts": profile.texts,
        }
    )


def load_profile(file: Path) -> tuple[float, ...]:
    """f(k) in nats for k = 0 .. L-1 revealed tokens. Raises CheckpointError for a file that is none."""
    try:
        values = json.loads(file.read_text("utf-8"))["nats_per_token_by_revealed"]
        profile = tuple(float(f) for f in values)
    except FileNotFoundError:
        raise CheckpointError(f"There is no information profile {file}. `fef profile` makes one.") from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{file} is no information profile ({error}). Make one with `fef profile`.") from error
    if not profile or not all(0 <= f < float("inf") for f in profile):
        raise CheckpointError(f"{file} holds no finite, non-negative nats. Make a profile with `fef profile`.")
    return profile
