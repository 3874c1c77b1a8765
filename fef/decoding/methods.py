"""The preset table: each method's options with their defaults, and the plan they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Protocol, get_args

from fef.decoding.network import Network
from fef.decoding.plan import Accept, Draft, Drafter, Order, Plan, Remask, ScheduleName, Verify
from fef.errors import OptionError, nearest_hint

__all__ = ["METHODS", "MethodInfo", "check_names", "make_plan"]


@dataclass(frozen=True)
class MethodInfo:
    """What `fef.methods()` tells of a method: its paper, its options with defaults, its exactness, what it needs."""

    name: str
    summary: str
    paper: str
    exactness: str
    needs: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Options(Protocol):
    """Options of a method: a frozen dataclass that checks itself and makes the plan."""

    def plan(self, network: Network) -> Plan: ...


@dataclass(frozen=True)
class SequentialOptions:
    order: Order = "left-to-right"
    block_length: int | None = None
    verify: Verify = "rows"

    def plan(self, network: Network) -> Plan:
        if self.order == "blocks" and self.block_length is None:
            raise OptionError('order="blocks" needs block_length, for example block_length=32.')
        check_law(self.verify, network)
        return Plan("sequential", self.verify, self.order, block_length=self.block_length)


@dataclass(frozen=True)
class FefOptions:
    steps: int = 1
    window: int = 16
    verify: Verify | str = "auto"
    accept: Accept = "coupled"
    remask: Remask = "random"
    block_length: int | None = None
    order: Order = "left-to-right"
    draft: Draft | Drafter = "reuse"
    bonus: bool = True
    anchors: int = 2
    schedule: ScheduleName = "linear"

    def plan(self, network: Network) -> Plan:
        law: Any = self.verify
        if law == "auto":
            law = "packed" if network.packed is not None else "rows"
        check_law(law, network)
        if self.order == "blocks" and self.block_length is None:
            raise OptionError('order="blocks" needs block_length, for example block_length=32.')
        draft = "fresh" if network.visible_noise and self.draft == "reuse" else self.draft
        return Plan(
            "fef",
            law,
            self.order,
            window=self.window,
            block_length=self.block_length,
            speculate=True,
            draft=draft,
            accept=self.accept,
            bonus=self.bonus,
            anchors=self.anchors if law == "packed" else 0,
            steps=self.steps,
            schedule=self.schedule,
            remask=self.remask,
        )


@dataclass(frozen=True)
class LladaOptions:
    tokens_per_step: int = 1
    steps: int | None = None
    block_length: int | None = None

    def parts(self) -> dict[str, Any]:
        if self.steps is not None and self.tokens_per_step != 1:
            raise OptionError("Give steps or tokens_per_step, not both: one follows from the other.")
        return {"law": "rows", "window": self.tokens_per_step, "rounds": self.steps, "block_length": self.block_length}


@dataclass(frozen=True)
class LowConfidenceOptions(LladaOptions):
    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("low-confidence", network)
        return Plan("low-confidence", rank_by_draw=True, **self.parts())


@dataclass(frozen=True)
class RandomOptions(LladaOptions):
    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("random", network)
        return Plan("random", order="blocks" if self.block_length else "random", **self.parts())


@dataclass(frozen=True)
class Method:
    options: Callable[..., Options]
    summary: str
    paper: str
    exactness: str
    needs: str = "any denoiser"


METHODS: dict[str, Method] = {
    "sequential": Method(
        SequentialOptions,
        "one token a forward pass, in a declared order",
        "chain rule",
        "chain; greedy at temperature 0",
    ),
    "fef": Method(
        FefOptions,
        "factorized drafts verified against the prefix-conditioned chain, with optional denoising passes",
        "FeF-DLLM, arXiv 2605.14305",
        "chain; greedy at temperature 0; none with low-confidence re-masking",
        "any denoiser; packed verification needs a network trained for it",
    ),
    "low-confidence": Method(
        LowConfidenceOptions,
        "commit the drawn tokens of highest probability",
        "LLaDA, arXiv 2502.09992",
        "greedy at one token a step and temperature 0, else none",
    ),
    "random": Method(
        RandomOptions,
        "commit drawn tokens at positions in a random order",
        "LLaDA, arXiv 2502.09992",
        "chain at one token a step, else none",
    ),
}


def methods() -> dict[str, MethodInfo]:
    """Every method by name, with its paper, options and defaults, exactness, and what it needs."""
    return {
        name: MethodInfo(name, m.summary, m.paper, m.exactness, m.needs, MappingProxyType(option_defaults(m)))
        for name, m in METHODS.items()
    }


def make_plan(method: str, given: Mapping[str, Any], network: Network) -> Plan:
    """The plan of a method. Raises OptionError for an unknown method or option and for values outside their range."""
    defaults = check_names(method, given)
    for name, value in given.items():
        if not (value is None and defaults[name] is None):
            check_value(name, value)
    return METHODS[method].options(**given).plan(network)


def check_names(method: str, options: Iterable[str]) -> dict[str, Any]:
    """The defaults of a method's options. Raises OptionError for an unknown method or option."""
    if not isinstance(method, str) or method not in METHODS:
        raise OptionError(f"Unknown method {method!r}.{nearest_hint(str(method), METHODS)}")
    defaults = option_defaults(METHODS[method])
    for name in options:
        if name not in defaults:
            raise OptionError(f"{method} has no option {name!r}.{nearest_hint(name, defaults)}")
    return defaults


def option_defaults(method: Method) -> dict[str, Any]:
    return {f.name: f.default for f in fields(method.options)}  # type: ignore[arg-type]


CHOICES: dict[str, tuple[str, ...]] = {
    "order": get_args(Order),
    "verify": ("auto", *get_args(Verify)),
    "accept": get_args(Accept),
    "remask": get_args(Remask),
    "draft": get_args(Draft),
    "schedule": get_args(ScheduleName),
}


def check_value(name: str, value: Any) -> None:
    if name in CHOICES:
        if value not in CHOICES[name] and not (name == "draft" and callable(value)):
            raise OptionError(f"{name}={value!r} is not known.{nearest_hint(str(value), CHOICES[name])}")
    elif name == "bonus":
        if not isinstance(value, bool):
            raise OptionError(f"bonus={value!r} must be True or False.")
    else:
        least = 0 if name == "anchors" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"{name}={value!r} must be a whole number of at least {least}.")


def check_law(law: str, network: Network) -> None:
    if law == "auto":
        raise OptionError('verify="auto" is an option of fef; give "rows" or "packed" here.')
    if law == "packed" and network.packed is None:
        raise OptionError(
            f'{network.name} was not trained for the packed attention pattern. Use verify="rows", or fine-tune it with '
            "`fef train`."
        )


def refuse_visible_noise(method: str, network: Network) -> None:
    if network.visible_noise:
        raise OptionError(f'{method} needs absorbing noise; {network.name} has uniform noise. Use method="fef".')
