"""Training and held-out prompts, kept apart by a hash of the prompt's text."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

__all__ = ["BUCKETS", "SPLITS", "Split", "split_of"]

Split = Literal["train", "held-out"]
SPLITS: tuple[str, ...] = get_args(Split)
BUCKETS = 16


def split_of(prompt: str) -> Split:
    """The only split that may contain this prompt: one prompt in `BUCKETS` is held out, whatever the seed."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    return "held-out" if digest[-1] % BUCKETS == 0 else "train"
