"""How a task is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["LongPrompts", "Settings"]

LongPrompts = Literal["refuse", "cut"]


@dataclass(frozen=True)
class Settings:
    """How a task is run."""

    task: str  # a name of `TASKS`
    method: str  # of decoding
    max_new_tokens: int  # length of the canvas
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0  # 1: off
    seed: int = 0  # of the first example
    shots: int = 0  # worked examples before the question
    chat: bool = False  # through the chat template
    batch_size: int = 8  # prompts at once
    long_prompts: LongPrompts = "refuse"  # what happens to one that leaves no room for the canvas
    engine: bool = False  # all prompts go to the engine at once, which decodes `batch_size` together

    @property
    def decoding(self) -> dict[str, Any]:
        """As `Model.generate` takes it."""
        names = ("method", "max_new_tokens", "temperature", "top_p")
        return {name: getattr(self, name) for name in names} | dict(self.options)
