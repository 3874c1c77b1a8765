"""A scene: a short story about which several things can be asked."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Scene"]


@dataclass(frozen=True)
class Scene:
    """text: as in `fef.corpus.move`; numbers: what is drawn; questions: each with the sum
    that answers it, whose result may have cents if the question is about money."""

    text: str
    numbers: str
    questions: tuple[tuple[str, str], ...]
