"""What the table says of a method, and the words it says it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fef.decoding.network import Network
from fef.decoding.plan import Plan

__all__ = ["CAUSAL", "CHAIN", "CHECKPOINT", "ONE", "SOME", "Method", "MethodInfo", "Options"]

CHAIN = "chain; greedy at temperature 0"
ONE = "at one token per step, else none"
SOME = "chain (greedy at temperature 0)"
CHECKPOINT = "a fef Transformer"
CAUSAL = "a causal model of the same tokens"


@dataclass(frozen=True)
class MethodInfo:
    """What `fef.methods()` tells of a method: its paper, its options with defaults, its exactness, what it needs."""

    name: str
    summary: str
    paper: str
    exactness: str
    needs: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"options": dict(self.options)}


class Options(Protocol):
    """Options of a method: a frozen dataclass of checked fields that makes the plan."""

    def plan(self, name: str, network: Network) -> Plan:
        """The plan of the method of that name. What is an option and a part of plans alike, `make_plan` takes over."""
        ...


@dataclass(frozen=True)
class Method:
    name: str
    options: Callable[..., Options]
    summary: str
    paper: str
    exactness: str
    needs: str = "any denoiser"
    visible_noise: bool = False  # does it run under uniform noise, too?
