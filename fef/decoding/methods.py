"""The preset table: every method by name, and the plan its options make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Protocol

from fef.decoding import presets as p
from fef.decoding.network import Network
from fef.decoding.options import read_options
from fef.decoding.plan import Plan
from fef.errors import OptionError, nearest_hint
from fef.readers import shown

__all__ = ["METHODS", "MethodInfo", "make_plan", "methods", "read_given"]


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
    """Options of a method: a frozen dataclass of checked fields that makes the plan."""

    def plan(self, network: Network) -> Plan: ...


@dataclass(frozen=True)
class Method:
    options: Callable[..., Options]
    summary: str
    paper: str
    exactness: str
    needs: str = "any denoiser"


CHAIN = "chain; greedy at temperature 0"
ONE = "at one token a step, else none"
SOME = "chain (greedy at temperature 0)"
CHECKPOINT = "a fef Transformer"

METHODS: dict[str, Method] = {
    "sequential": Method(p.SequentialOptions, "one token a forward pass, in a declared order", "chain rule", CHAIN),
    "fef": Method(
        p.FefOptions,
        "factorized drafts verified against the prefix-conditioned chain, with optional denoising passes",
        "FeF-DLLM, arXiv 2605.14305",
        f"{CHAIN}; none with low-confidence re-masking",
        "any denoiser; packed verification needs a network trained for it",
    ),
    "dual-exact": Method(
        p.DualExactOptions,
        "drafts of cheap steps on stale keys, their laws recorded, verified like fef",
        "DualDiffusion, arXiv 2604.05250, made exact",
        CHAIN,
        CHECKPOINT,
    ),
    "dual": Method(
        p.DualOptions,
        "cheap steps on stale keys, then one accurate look that keeps or re-masks (our reading)",
        "DualDiffusion, arXiv 2604.05250",
        "none",
        CHECKPOINT,
    ),
    "demask": Method(
        p.DemaskOptions,
        "commit together what influences each other little",
        "DEMASK, arXiv 2604.02560",
        "bound, for sub-additive influences",
        "a dependency head, or influence=probe",
    ),
    "low-confidence": Method(
        p.LowConfidenceOptions,
        "commit the drawn tokens of highest probability",
        "LLaDA, arXiv 2502.09992",
        f"greedy {ONE} (and temperature 0)",
    ),
    "random": Method(
        p.RandomOptions,
        "commit drawn tokens at positions in a random order",
        "LLaDA, arXiv 2502.09992",
        f"{SOME} {ONE}",
    ),
    "origin": Method(
        p.OriginOptions, "the reverse transition with a factorized x_0", "Dream, arXiv 2508.15487; MDLM", "none"
    ),
    "maskgit-plus": Method(
        p.MaskgitPlusOptions,
        "commit the drawn tokens of highest sampled probability",
        "Dream, arXiv 2508.15487",
        f"greedy {ONE} (and temperature 0)",
    ),
    "topk-margin": Method(
        p.TopkMarginOptions, "commit where the best token leads by most", "Dream, arXiv 2508.15487", f"{SOME} {ONE}"
    ),
    "entropy": Method(p.EntropyOptions, "commit where entropy is least", "Dream, arXiv 2508.15487", f"{SOME} {ONE}"),
    "threshold": Method(
        p.ThresholdOptions,
        "commit all above a confidence",
        "Fast-dLLM, arXiv 2505.22618",
        "bound without a cache, else none",
        "any denoiser; a cache needs a fef Transformer",
    ),
    "factor": Method(
        p.FactorOptions,
        "commit as many as their confidence allows",
        "Fast-dLLM, arXiv 2505.22618",
        "bound without a cache, else none",
        "any denoiser; a cache needs a fef Transformer",
    ),
    "delayed-cache": Method(
        p.DelayedCacheOptions,
        "low-confidence, with keys cached one step after a token is revealed",
        "dKV-Cache, arXiv 2505.15781",
        "none",
        CHECKPOINT,
    ),
    "entropy-bounded": Method(
        p.EntropyBoundedOptions,
        "commit the least uncertain while the sum of entropies allows",
        "EB-Sampler, arXiv 2505.24857",
        "bound without a cache, else none",
    ),
    "klass": Method(
        p.KlassOptions, "commit where the law is confident and no longer moves", "KLASS, arXiv 2511.05664", "none"
    ),
    "schedule": Method(
        p.ScheduleOptions,
        "random order, with the counts a step that the information profile asks for",
        "Lavenant and Zanella, arXiv 2510.25544 (DDOSP)",
        "bound",
        "an information profile",
    ),
    "ssd": Method(
        p.SsdOptions,
        "low-confidence one token a step, several steps a call, the same text",
        "SSD, arXiv 2510.04147",
        "greedy",
    ),
    "freedave": Method(
        p.FreedaveOptions,
        "low-confidence with any number of tokens a step, several steps a call, the same text",
        "FreeDave, arXiv 2510.00294",
        "greedy at one token a step",
    ),
    "wino": Method(
        p.WinoOptions, "commit widely, take back what a leave-one-out look doubts", "WINO, arXiv 2507.18578", "none"
    ),
    "remdm": Method(
        p.RemdmOptions, "origin that also re-masks revealed tokens, blind to values", "ReMDM, arXiv 2503.00307", "none"
    ),
    "saber": Method(
        p.SaberOptions,
        "a threshold that adapts, and tokens that lose confidence go back",
        "Saber, arXiv 2510.18165",
        "none",
    ),
}


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
    if network.block_causal and chooses_in_blocks(METHODS[method]):
        given = {"block_length": network.transformer(method).config.block_length} | given
    options = METHODS[method].options(**given)
    plan = options.plan(network)
    after_eos = options.after_eos if isinstance(options, p.Ending) else plan.after_eos
    return replace(plan, aligned_blocks=network.block_causal, after_eos=after_eos)


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
