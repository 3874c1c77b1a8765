"""Options that several methods share, each group a frozen dataclass of checked fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from fef.decoding.causal import CausalModel, find_causal
from fef.decoding.network import Network
from fef.decoding.options import model, number, one_of, whole
from fef.decoding.plan import Accept, AfterEos, Guidance, Order, Plan
from fef.decoding.requirements import stale_cache
from fef.decoding.transfer import BlockShare, EvenShare, PerRound, TransferSchedule
from fef.decoding.unmask import UnmaskRule
from fef.errors import OptionError
from fef.laws.pipeline import Cut

__all__ = [
    "ACCEPTS",
    "DREAM_CUT",
    "MOST_AHEAD",
    "MOST_PASSES",
    "BesideCausal",
    "CachedOptions",
    "Counts",
    "Ending",
    "Guided",
    "Ordered",
    "Windowed",
    "block_share",
    "llada_transfer",
]

Cache = Literal["none", "prefix", "dual"]
ACCEPTS = get_args(Accept)
DREAM_CUT: Cut = "top-p"  # Dream's generation_utils.py, which Fast-dLLM's version for Dream calls too
MOST_PASSES = 2**16 - 1  # a pass is a part of the key of a random number, in 16 bits
MOST_AHEAD = 4096  # rounds that are drafted before a check


@dataclass(frozen=True)
class Guided:
    """Options of the law (`Guidance`) that every method under the plain forward has."""

    cfg_scale: float = number(0.0)
    contrast: float = number(0.0)

    @property
    def guidance(self) -> Guidance:
        return Guidance(self.cfg_scale, self.contrast)


@dataclass(frozen=True)
class Ending:
    """Methods whose published decoders know no end: after_eos="free" draws behind an end token as they do. That "after EOS
    comes EOS" is a part of the law of the others."""

    after_eos: AfterEos = one_of("eos", get_args(AfterEos))


@dataclass(frozen=True)
class Counts(Ending):
    tokens_per_step: int = whole(1)
    steps: int | None = whole(None)
    block_length: int | None = whole(None)

    @property
    def transfer(self) -> TransferSchedule:
        return llada_transfer(self.steps, self.tokens_per_step)


@dataclass(frozen=True)
class Ordered:
    """Methods that draw slots in a declared order."""

    block_length: int | None = whole(None)  # open slots per block
    order: Order = one_of("left-to-right", get_args(Order))  # of the slots


@dataclass(frozen=True)
class Windowed:
    """Methods that verify a window of drafts."""

    window: int = whole(16)  # drafts per round
    accept: Accept = one_of("coupled", ACCEPTS)  # the acceptance rule


@dataclass(frozen=True)
class BesideCausal:
    """Methods that ask a causal model, too."""

    causal: Callable[..., Tensor] | str | None = model()  # None: the one that came with the checkpoint

    def causal_model(self, network: Network) -> CausalModel:
        return find_causal(self.causal, network)


@dataclass(frozen=True)
class CachedOptions(Guided, Ending):
    block_length: int | None = whole(32, optional=True)
    cache: Cache = one_of("none", get_args(Cache))

    def plan_of(self, rule: UnmaskRule, name: str, network: Network, first_cut: Cut = "top-k") -> Plan:
        cache = stale_cache(name, self.cache, network, self.guidance)
        return Plan(name, rule=rule, cache=cache, first_cut=first_cut)


def llada_transfer(steps: int | None, tokens_per_step: int) -> TransferSchedule:
    if steps is not None and tokens_per_step != 1:
        raise OptionError("Give steps or tokens_per_step, not both: one follows from the other.")
    return PerRound(tokens_per_step) if steps is None else EvenShare(steps)


def block_share(block_length: int | None, block_steps: int | None) -> BlockShare | None:
    if block_steps is not None and block_length is None:
        raise OptionError("block_steps is the rounds of one block: it needs block_length.")
    return None if block_steps is None or block_length is None else BlockShare(block_length, block_steps)
