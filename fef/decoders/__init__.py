"""The methods: a file each, or one for a family whose rules share a class. This is their table.

The package is not named for methods, because `fef.methods` is the function that lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from fef.decoders.adjust import ADJUST
from fef.decoders.apd import APD, APD_EXACT
from fef.decoders.dcd import DCD
from fef.decoders.deer import DEER
from fef.decoders.delayed_cache import DELAYED_CACHE
from fef.decoders.demask import DEMASK
from fef.decoders.dream import ENTROPY, MASKGIT_PLUS, TOPK_MARGIN
from fef.decoders.dual import DUAL, DUAL_EXACT
from fef.decoders.entropy_bounded import ENTROPY_BOUNDED
from fef.decoders.eso import ESO, ESO_EXACT
from fef.decoders.factor import FACTOR
from fef.decoders.fef import FEF
from fef.decoders.klass import KLASS
from fef.decoders.llada import LOW_CONFIDENCE, RANDOM
from fef.decoders.method import Method, MethodInfo
from fef.decoders.policy import POLICY
from fef.decoders.remdm import ORIGIN, REMDM
from fef.decoders.replayed import FREEDAVE, SSD
from fef.decoders.saber import SABER
from fef.decoders.schedule import SCHEDULE
from fef.decoders.sequential import SEQUENTIAL
from fef.decoders.ssmd import SSMD
from fef.decoders.threshold import THRESHOLD
from fef.decoders.wino import WINO
from fef.decoding.network import Network
from fef.decoding.options import read_options
from fef.decoding.plan import Plan
from fef.errors import OptionError, nearest_hint
from fef.readers import shown

__all__ = ["METHODS", "MethodInfo", "make_plan", "methods", "read_given"]

TABLE = (
    SEQUENTIAL,
    FEF,
    DUAL_EXACT,
    DEER,
    APD,
    APD_EXACT,
    DCD,
    SSMD,
    ADJUST,
    ESO,
    ESO_EXACT,
    DUAL,
    DEMASK,
    LOW_CONFIDENCE,
    RANDOM,
    ORIGIN,
    MASKGIT_PLUS,
    TOPK_MARGIN,
    ENTROPY,
    THRESHOLD,
    FACTOR,
    DELAYED_CACHE,
    ENTROPY_BOUNDED,
    KLASS,
    POLICY,
    SCHEDULE,
    SSD,
    FREEDAVE,
    WINO,
    REMDM,
    SABER,
)
METHODS: dict[str, Method] = {method.name: method for method in TABLE}

# what is an option and a part of plans alike
_TAKEN_OVER = ("after_eos", "block_length", "first_slot_first", "guidance", "order", "schedule")


def methods() -> dict[str, MethodInfo]:
    """Every method by name, with its paper, options and defaults, exactness, and what it needs."""
    return {
        name: MethodInfo(name, m.summary, m.paper, m.exactness, m.needs, MappingProxyType(option_defaults(m)))
        for name, m in METHODS.items()
    }


def make_plan(method: str, given: Mapping[str, Any], network: Network) -> Plan:
    """The plan of a method. Raises OptionError as `read_given`, and for options that contradict each other or the
    network."""
    given = read_given(method, given)
    entry = METHODS[method]
    if network.visible_noise and not entry.visible_noise:
        raise OptionError(f'{method} needs absorbing noise; {network.name} has uniform noise. Use method="fef".')
    if network.block_causal and chooses_in_blocks(entry):
        given = {"block_length": network.transformer(method).config.block_length} | given
    options = entry.options(**given)
    parts = {part: getattr(options, part) for part in _TAKEN_OVER if hasattr(options, part)}
    plan = replace(options.plan(method, network), aligned_blocks=network.block_causal, **parts)
    if plan.order == "blocks" and plan.block_length is None:
        raise OptionError('order="blocks" needs block_length, for example block_length=32.')
    return plan


def chooses_in_blocks(method: Method) -> bool:
    """Does it choose slots freely inside a block? Block-causal networks were trained for that in their own blocks."""
    names = {f.name for f in fields(method.options)}  # type: ignore[arg-type]
    return "block_length" in names and "order" not in names


def read_given(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given, their numbers as Python's. Raises OptionError for an unknown method or option, and for a
    value outside its range."""
    if not isinstance(method, str) or method not in METHODS:
        raise OptionError(f"Unknown method {shown(method)}.{nearest_hint(str(method)[:100], METHODS)}")
    return read_options(method, METHODS[method].options, given)  # type: ignore[arg-type]


def option_defaults(method: Method) -> dict[str, Any]:
    return {f.name: f.default for f in fields(method.options)}  # type: ignore[arg-type]
