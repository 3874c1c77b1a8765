"""Options of the methods, each a frozen dataclass that makes the plan. A preset says which parts go together; the parts
themselves are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from fef.decoding.choice import (
    AboveMeanRevealed,
    Choice,
    EntropyBound,
    Factor,
    FirstSlotFirst,
    InOrder,
    LowInfluence,
    PacedThreshold,
    RunningThreshold,
    Score,
    Stable,
    Threshold,
    TopScore,
    WideIn,
)
from fef.decoding.network import Network
from fef.decoding.options import flag, number, one_of, path, whole
from fef.decoding.plan import (
    Accept,
    AfterEos,
    CacheKind,
    Draft,
    Drafter,
    Guidance,
    Order,
    Plan,
    Planner,
    Remask,
    ScheduleName,
    Speculation,
    Verify,
)
from fef.decoding.quota import BlockShare, DreamShare, EvenShare, Everything, Pace, PerRound, Planned, Quota
from fef.decoding.remdm import Remdm, Strategy
from fef.decoding.requirements import (
    check_blocks,
    check_law,
    ends,
    exact_cache,
    find_head,
    refuse_visible_noise,
    stale_cache,
)
from fef.decoding.revoke import DropLargestFalls, DropLeastRisen, KeepConfident, WideOut
from fef.errors import OptionError
from fef.laws.pipeline import Cut

__all__ = [
    "DelayedCacheOptions",
    "DemaskOptions",
    "DreamOptions",
    "DualExactOptions",
    "DualOptions",
    "Ending",
    "EntropyBoundedOptions",
    "FactorOptions",
    "FefOptions",
    "KlassOptions",
    "LowConfidenceOptions",
    "OriginOptions",
    "RandomOptions",
    "RemdmOptions",
    "ReplayOptions",
    "SaberOptions",
    "ScheduleOptions",
    "SequentialOptions",
    "ThresholdOptions",
    "WinoOptions",
]

ORDERS, ACCEPTS, DRAFTS = get_args(Order), get_args(Accept), get_args(Draft)
Cache = Literal["none", "prefix", "dual"]
DEFAULT_ETA = 0.2
ETAS: dict[Strategy, float] = {"rescale": DEFAULT_ETA, "cap": 0.04, "conf": 0.0, "loop": 0.02}
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
class SequentialOptions(Guided):
    """One token a call; `block_steps` below `block_length` makes it several, which are then drawn independently (SDAR)."""

    order: Order = one_of("left-to-right", ORDERS)
    block_length: int | None = whole(None)
    block_steps: int | None = whole(None)
    verify: Verify = one_of("rows", get_args(Verify))
    cache: Literal["none", "prefix"] = one_of("none", ("none", "prefix"))

    def plan(self, network: Network) -> Plan:
        check_blocks(self.order, self.block_length)
        check_law(self.verify, network, self.guidance)
        return Plan(
            "sequential",
            self.verify,
            self.order,
            self.block_length,
            choice=InOrder(block_share(self.block_length, self.block_steps) or PerRound(1)),
            cache=exact_cache("sequential", self.cache, self.verify, network, self.guidance),
            guidance=self.guidance,
        )


@dataclass(frozen=True)
class FefOptions(Guided):
    steps: int = whole(1, most=MOST_PASSES)
    window: int = whole(16)
    verify: Verify | Literal["auto"] = one_of("auto", ("auto", *get_args(Verify)))
    accept: Accept = one_of("coupled", ACCEPTS)
    remask: Remask = one_of("random", get_args(Remask))
    eta: float | None = number(None, high=1.0)
    block_length: int | None = whole(None)
    order: Order = one_of("left-to-right", ORDERS)
    draft: Draft | Drafter = one_of("reuse", tuple(d for d in DRAFTS if d != "stale"), or_callable=True)
    bonus: bool = flag(True)
    anchors: int = whole(2, least=0)
    survival: float = number(0.0, high=1.0)
    planner: Planner = one_of("confidence", get_args(Planner))
    head: str | None = path()
    cache: Literal["none", "prefix"] = one_of("none", ("none", "prefix"))
    schedule: ScheduleName = one_of("linear", get_args(ScheduleName))

    def plan(self, network: Network) -> Plan:
        plain_only = self.guidance.on or self.cache != "none" or self.planner == "influence"
        law: Verify = "packed" if network.packed is not None and not plain_only else "rows"
        law = law if self.verify == "auto" else self.verify
        check_law(law, network, self.guidance)
        check_blocks(self.order, self.block_length)
        self.refuse_contradictions(law, network)
        spec = Speculation(
            self.window,
            "fresh" if network.visible_noise and self.draft == "reuse" else self.draft,
            self.accept,
            self.bonus,
            self.anchors if law == "packed" else 0,
            self.survival,
            self.planner,
        )
        return Plan(
            "fef",
            law,
            self.order,
            self.block_length,
            speculation=spec,
            cache=exact_cache("fef", self.cache, law, network, self.guidance),
            guidance=self.guidance,
            steps=self.steps,
            schedule=self.schedule,
            remask=self.remask,
            remdm=Remdm("rescale", DEFAULT_ETA if self.eta is None else self.eta),
            head=find_head(self.head, network) if self.planner == "influence" else None,
        )

    def refuse_contradictions(self, law: Verify, network: Network) -> None:
        if self.planner == "influence" and (law == "packed" or self.draft != "fresh" or self.cache != "none"):
            raise OptionError(
                'planner="influence" reads hidden states of a plain pass: give verify="rows", draft="fresh" and no cache.'
            )
        if self.planner == "influence" and self.guidance.on:
            raise OptionError('cfg_scale and contrast do not go with planner="influence". Use planner="confidence".')
        if self.planner != "influence" and self.head is not None:
            raise OptionError('A dependency head is read by planner="influence" only. Give both, or leave head out.')
        if self.remask != "remdm" and self.eta is not None:
            raise OptionError('eta is the rate of remask="remdm". Give both, or leave eta out.')
        if self.remask != "random" and network.visible_noise:
            raise OptionError(
                f'remask="{self.remask}" hides tokens behind masks; under uniform noise use remask="random".'
            )
        if self.draft == "random" and network.vocab_size is None:
            raise OptionError('draft="random" needs a denoiser with a vocab_size attribute.')


@dataclass(frozen=True)
class Counts(Ending):
    tokens_per_step: int = whole(1)
    steps: int | None = whole(None)
    block_length: int | None = whole(None)

    @property
    def quota(self) -> Quota:
        return llada_quota(self.steps, self.tokens_per_step)


@dataclass(frozen=True)
class LladaOptions(Counts, Guided):
    """Counts and guidance of LLaDA's two rules."""


@dataclass(frozen=True)
class LowConfidenceOptions(LladaOptions):
    left_bias: float = number(0.0)
    logits_eos_inf: bool = flag(False)
    confidence_eos_eot_inf: bool = flag(False)
    official_faults: bool = flag(False)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("low-confidence", network)
        last = ends(network) if self.confidence_eos_eot_inf else ()
        renormalized = self.official_faults and bool(last)
        choice = TopScore("drawn", self.quota, left_bias=self.left_bias, last=last, renormalized=renormalized)
        return Plan(
            "low-confidence",
            block_length=self.block_length,
            choice=choice,
            guidance=self.guidance,
            banned=ends(network)[:1] if self.logits_eos_inf else (),
        )


@dataclass(frozen=True)
class RandomOptions(LladaOptions):
    logits_eos_inf: bool = flag(False)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("random", network)
        return Plan(
            "random",
            order="blocks" if self.block_length else "random",
            block_length=self.block_length,
            choice=InOrder(self.quota),
            guidance=self.guidance,
            banned=ends(network)[:1] if self.logits_eos_inf else (),
        )


@dataclass(frozen=True)
class DreamOptions(Guided, Ending):
    """Dream's ranked rules. Its own scores are those of the law that is sampled, with temperature and top-p."""

    steps: int | None = whole(None, most=MOST_PASSES)
    tokens_per_step: int | None = whole(None)
    block_length: int | None = whole(None)
    alg_temp: float = number(0.0)
    left_bias: float = number(0.0)
    cache: Cache = one_of("none", get_args(Cache))
    first_slot_first: bool = flag(False)

    def plan_for(self, method: str, score: Score, network: Network) -> Plan:
        refuse_visible_noise(method, network)
        if self.steps is not None and self.tokens_per_step is not None:
            raise OptionError("Give steps or tokens_per_step, not both: one follows from the other.")
        quota = DreamShare(self.steps) if self.tokens_per_step is None else PerRound(self.tokens_per_step)
        choice: Choice = TopScore(score, quota, sampled=True, left_bias=self.left_bias, alg_temp=self.alg_temp)
        choice = FirstSlotFirst(choice) if self.first_slot_first else choice
        cache = stale_cache(method, None if self.cache == "none" else self.cache, network, self.guidance)
        return Plan(
            method,
            block_length=self.block_length,
            choice=choice,
            cache=cache,
            guidance=self.guidance,
            first_cut=DREAM_CUT,
        )


@dataclass(frozen=True)
class MaskgitPlusOptions(DreamOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("maskgit-plus", "drawn", network)


@dataclass(frozen=True)
class TopkMarginOptions(DreamOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("topk-margin", "margin", network)


@dataclass(frozen=True)
class EntropyOptions(DreamOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("entropy", "entropy", network)


@dataclass(frozen=True)
class OriginOptions(Guided, Ending):
    """The reverse transition with an x_0 that is drawn factorized: each mask is revealed with probability 1 - s / t."""

    steps: int = whole(32, most=MOST_PASSES)
    block_length: int | None = whole(None)
    schedule: ScheduleName = one_of("linear", get_args(ScheduleName))

    def parts(self, network: Network) -> dict[str, Any]:
        return {
            "block_length": self.block_length,
            "choice": InOrder(Everything()),
            "guidance": self.guidance,
            "steps": self.steps,
            "schedule": self.schedule,
        }

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("origin", network)
        return Plan("origin", first_cut=DREAM_CUT, **self.parts(network))


@dataclass(frozen=True)
class RemdmOptions(OriginOptions):
    """strategy: which of ReMDM's. eta: its rate; None is the strategy's own. t_on, t_off, alpha_on: the times of "loop"."""

    strategy: Strategy = one_of("rescale", get_args(Strategy))
    eta: float | None = number(None, high=1.0)
    t_on: float | None = number(None, high=1.0)
    t_off: float | None = number(None, high=1.0)
    alpha_on: float | None = number(None, high=1.0)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("remdm", network)
        return Plan("remdm", remask="remdm", remdm=self.remdm, keeps_crossing=False, **self.parts(network))

    @property
    def remdm(self) -> Remdm:
        if self.strategy == "conf" and self.eta is not None:
            raise OptionError('strategy="conf" has no rate: leave eta out, or use strategy="rescale".')
        times = {"t_on": self.t_on, "t_off": self.t_off, "alpha_on": self.alpha_on}
        given = {name: value for name, value in times.items() if value is not None}
        if self.strategy != "loop":
            if given:
                raise OptionError(
                    f'{", ".join(given)}: only strategy="loop" has a loop; leave it out, or use that strategy.'
                )
            return Remdm(self.strategy, ETAS[self.strategy] if self.eta is None else self.eta)
        rule = Remdm("loop", ETAS["loop"] if self.eta is None else self.eta, **given)
        if self.schedule != "linear":
            raise OptionError('strategy="loop" has a schedule of its own: leave schedule out.')
        if not 0 < rule.t_off <= rule.t_on < 1 or not 0 < rule.alpha_on < 1:
            raise OptionError(
                f"t_on={rule.t_on:g}, t_off={rule.t_off:g}, alpha_on={rule.alpha_on:g}: a loop needs 0 < t_off <= t_on < 1 "
                "and 0 < alpha_on < 1."
            )
        most = min(1.0, (1 - rule.alpha_on) / rule.alpha_on)
        if rule.eta > most:
            raise OptionError(
                f"eta={rule.eta:g} hides more than a loop at alpha_on={rule.alpha_on:g} can reveal: give at most {most:.3g}."
            )
        return rule


@dataclass(frozen=True)
class CachedOptions(Guided, Ending):
    block_length: int | None = whole(32, optional=True)
    cache: Cache = one_of("none", get_args(Cache))

    def plan_for(self, method: str, choice: Choice, network: Network) -> Plan:
        refuse_visible_noise(method, network)
        cache = stale_cache(method, None if self.cache == "none" else self.cache, network, self.guidance)
        return Plan(method, block_length=self.block_length, choice=choice, cache=cache, guidance=self.guidance)


@dataclass(frozen=True)
class ThresholdOptions(CachedOptions):
    threshold: float = number(0.9, high=1.0)
    tokens_per_step: int = whole(1)
    steps: int | None = whole(None)
    block_steps: int | None = whole(None)
    pace: int | None = whole(None)
    strict: bool = flag(False)
    first_slot_first: bool = flag(False)

    def plan(self, network: Network) -> Plan:
        choice = self.choice
        choice = FirstSlotFirst(choice) if self.first_slot_first else choice
        for_dream = self.pace is not None or self.first_slot_first
        return replace(
            self.plan_for("threshold", choice, network),
            first_cut=DREAM_CUT if for_dream else "top-k",
        )

    @property
    def choice(self) -> Choice:
        if self.pace is not None:
            if self.tokens_per_step != 1 or self.steps is not None or self.block_steps is not None:
                raise OptionError("pace is the most that a round commits, the others the least; give one of them.")
            return PacedThreshold(self.threshold, Pace(self.pace))
        share = block_share(self.block_length, self.block_steps)
        if share is not None and self.steps is not None:
            raise OptionError("steps are the rounds of all blocks, block_steps those of one; give one of them.")
        quota = share or llada_quota(self.steps, self.tokens_per_step)
        return Threshold(self.threshold, quota, self.strict)


@dataclass(frozen=True)
class FactorOptions(CachedOptions):
    factor: float = number(1.0)
    official_faults: bool = flag(False)

    def plan(self, network: Network) -> Plan:
        return self.plan_for("factor", Factor(self.factor, and_last=self.official_faults), network)


@dataclass(frozen=True)
class DelayedCacheOptions(Counts):
    """dKV-Cache-Decode. As in the released code, the first two passes of a block are full: keys of what the first reveals
    are kept from the second on."""

    refresh: int = whole(4)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("delayed-cache", network)
        cache = stale_cache("delayed-cache", "delayed", network, Guidance(), self.refresh, opening=2)
        choice = TopScore("drawn", self.quota)
        return Plan("delayed-cache", block_length=self.block_length, choice=choice, cache=cache)


@dataclass(frozen=True)
class EntropyBoundedOptions(CachedOptions):
    gamma: float = number(0.1)

    def plan(self, network: Network) -> Plan:
        return self.plan_for("entropy-bounded", EntropyBound(self.gamma), network)


@dataclass(frozen=True)
class KlassOptions(CachedOptions):
    threshold: float = number(0.9, high=1.0)
    epsilon: float = number(0.01)
    history: int = whole(2)

    def plan(self, network: Network) -> Plan:
        # a cached pass computes the block alone, so nothing is known of later ones
        across_blocks = self.cache == "none"
        return self.plan_for("klass", Stable(self.threshold, self.epsilon, self.history, across_blocks), network)


@dataclass(frozen=True)
class ScheduleOptions(Guided, Ending):
    """DDOSP. profile: a file made by `fef profile`; by default that of the checkpoint."""

    steps: int = whole(32)
    profile: str | None = path()

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("schedule", network)
        profile = network.information_profile(self.profile)
        choice = InOrder(Planned(profile, self.steps))
        return Plan("schedule", order="random", choice=choice, guidance=self.guidance)


@dataclass(frozen=True)
class DemaskOptions(Ending):
    """influence: predicted by a dependency head, probed with the network itself, or "auto": by a head where there is one."""

    tau: float = number(0.1)
    influence: Literal["auto", "head", "probe"] = one_of("auto", ("auto", "head", "probe"))
    head: str | None = path()
    probe_values: int = whole(4)
    block_length: int | None = whole(None)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("demask", network)
        if self.head is not None and self.influence == "probe":
            raise OptionError('head=FILE and influence="probe" are both given; give one.')
        probe = self.influence == "probe" or (
            self.influence == "auto" and self.head is None and network.dependency_head is None
        )
        head = None if probe else find_head(self.head, network)
        return Plan(
            "demask",
            block_length=self.block_length,
            choice=LowInfluence(self.tau, "probe" if probe else "head"),
            head=head,
            probe_values=self.probe_values,
        )


@dataclass(frozen=True)
class DualOptions(Ending):
    """DualDiffusion in our reading: `drafts` cheap steps, then one look that keeps or re-masks. Which tokens it keeps is not
    published in full: `keep` has two rules, and the most confident token of a cycle stays."""

    drafts: int = whole(5, most=MOST_AHEAD)
    tokens_per_step: int = whole(1)
    keep: Literal["confidence", "kl"] = one_of("confidence", ("confidence", "kl"))
    limit: float = number(0.5)
    block_length: int | None = whole(32, optional=True)
    cache: CacheKind = one_of("dual", get_args(CacheKind))

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("dual", network)
        return Plan(
            "dual",
            block_length=self.block_length,
            choice=TopScore("drawn", PerRound(self.tokens_per_step)),
            revoke=KeepConfident(self.keep, self.limit, self.drafts),
            cache=stale_cache("dual", self.cache, network, Guidance()),
        )


@dataclass(frozen=True)
class DualExactOptions:
    """DualDiffusion's cheap drafter, its laws recorded, and rejection by fresh targets."""

    drafts: int = whole(5, most=MOST_AHEAD)
    window: int = whole(16)
    verify: Verify | Literal["auto"] = one_of("auto", ("auto", *get_args(Verify)))
    accept: Accept = one_of("coupled", ACCEPTS)
    block_length: int | None = whole(None)
    order: Order = one_of("left-to-right", ORDERS)
    bonus: bool = flag(True)

    def plan(self, network: Network) -> Plan:
        law: Verify = "packed" if network.packed is not None else "rows"
        law = law if self.verify == "auto" else self.verify
        check_law(law, network, Guidance())
        check_blocks(self.order, self.block_length)
        network.transformer("dual-exact")
        spec = Speculation(self.window, "stale", self.accept, self.bonus, stale_steps=self.drafts)
        return Plan("dual-exact", law, self.order, self.block_length, speculation=spec)


@dataclass(frozen=True)
class ReplayOptions(Guided, Ending):
    block_length: int | None = whole(None)
    drafts: int = whole(4, most=MOST_AHEAD)

    def plan_for(self, method: str, tokens_per_step: int, network: Network) -> Plan:
        refuse_visible_noise(method, network)
        choice = TopScore("drawn", PerRound(tokens_per_step))
        return Plan(
            method,
            block_length=self.block_length,
            choice=choice,
            replay=self.drafts,
            guidance=self.guidance,
            greedy=True,
        )


@dataclass(frozen=True)
class SsdOptions(ReplayOptions):
    def plan(self, network: Network) -> Plan:
        return self.plan_for("ssd", 1, network)


@dataclass(frozen=True)
class FreedaveOptions(ReplayOptions):
    tokens_per_step: int = whole(1)

    def plan(self, network: Network) -> Plan:
        return self.plan_for("freedave", self.tokens_per_step, network)


@dataclass(frozen=True)
class WinoOptions(Ending):
    threshold: float = number(0.6, high=1.0)
    keep: float = number(0.9, high=1.0)
    block_length: int | None = whole(128, optional=True)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("wino", network)
        revoke = WideOut(self.keep, together=network.casts_shadows)
        return Plan("wino", block_length=self.block_length, choice=WideIn(self.threshold), revoke=revoke)


@dataclass(frozen=True)
class SaberOptions(Ending):
    """rule: what Saber's released code does, or what its abstract says."""

    tokens_per_step: int = whole(2)
    rate: float = number(8.0, low=1.0)
    rule: Literal["code", "abstract"] = one_of("code", ("code", "abstract"))
    block_length: int | None = whole(32, optional=True)

    def plan(self, network: Network) -> Plan:
        refuse_visible_noise("saber", network)
        quota = PerRound(self.tokens_per_step)
        if self.rule == "abstract":
            choice, revoke = RunningThreshold(quota), DropLargestFalls(self.rate)
            return Plan("saber", block_length=self.block_length, choice=choice, revoke=revoke)
        return Plan(
            "saber",
            block_length=self.block_length,
            stays_open=True,
            choice=AboveMeanRevealed(quota),
            revoke=DropLeastRisen(self.rate, least=self.tokens_per_step // 2),
        )


def llada_quota(steps: int | None, tokens_per_step: int) -> Quota:
    if steps is not None and tokens_per_step != 1:
        raise OptionError("Give steps or tokens_per_step, not both: one follows from the other.")
    return PerRound(tokens_per_step) if steps is None else EvenShare(steps)


def block_share(block_length: int | None, block_steps: int | None) -> BlockShare | None:
    if block_steps is not None and block_length is None:
        raise OptionError("block_steps is the rounds of one block: it needs block_length.")
    return None if block_steps is None or block_length is None else BlockShare(block_length, block_steps)
