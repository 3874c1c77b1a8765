"""The building blocks of generated functions: each says in words, in code and as a callable what it does."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Fixed", "Rule", "Task", "source_of"]


@dataclass(frozen=True)
class Rule:
    """A block whose `phrase` and `code` may hold `{k}`, a constant that `constant` draws.

    Expected outputs come from `apply(value, k)`, never from the code, so a block whose code and meaning differ fails
    its own tests.
    """

    phrase: str
    code: str
    apply: Callable[[Any, Any], Any]
    constant: Callable[[random.Random], Any] | None = None

    def fix(self, rng: random.Random) -> Fixed:
        """The block with its constant drawn."""
        if self.constant is None:
            return Fixed(self.phrase, self.code, self.apply, None)
        k = self.constant(rng)
        source = source_of(k)
        return Fixed(self.phrase.replace("{k}", source), self.code.replace("{k}", source), self.apply, k)


@dataclass(frozen=True)
class Fixed:
    """A block with its constant `k` filled in (None when it has none)."""

    phrase: str
    code: str
    rule: Callable[[Any, Any], Any]
    k: Any

    def __call__(self, value: Any) -> Any:
        """What the block makes of the value."""
        return self.rule(value, self.k)


@dataclass(frozen=True)
class Task:
    """A function without a name: its parameter, what it returns in words, its body, test inputs and true outputs."""

    parameter: str
    returns: str
    body: str
    inputs: Sequence[Any]
    reference: Callable[[Any], Any]


def source_of(value: Any) -> str:
    """A constant as Python source, with strings in double quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(source_of, value))}]"
    return str(value)
