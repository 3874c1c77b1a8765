"""One task instance: what is asked, one reference answer, and what the scorer needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """A prompt with one reference response and the facts that decide whether another response is right.

    `family` is one of `fef.tasks.FAMILIES` and `task` names the kind of problem inside it. For tasks with many right
    answers `response` is one of them, drawn uniformly. `check` holds JSON values only.
    """

    family: str
    task: str
    prompt: str
    response: str
    check: Mapping[str, Any]
