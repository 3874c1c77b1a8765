"""The settings of every method that the suite runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from fef.decoders import METHODS
from fef.decoding.certificate import Certificate, Kind
from fef.errors import OptionError, nearest_hint
from fef.laws.integrate import QuantileNoise
from fef.measure.record import Key, Record, RecordKind
from fef.measure.run import Progress, Task, carry_out
from fef.verify.checks import Check, check
from fef.verify.network_laws import (
    causal_law,
    copula_law,
    joint_law,
    order_causal,
    packed_law,
    process_law,
    product_of_experts,
)
from fef.verify.reference import Reference, Select, certainty, chain_law, confidence, margin, ranked
from fef.verify.setting import Effort, Measured, Name, Other, Setting
from fef.verify.texts import Array, Pipeline

__all__ = ["SETTINGS", "Verdict", "settings_of", "verdict", "verdicts"]


@dataclass(frozen=True)
class Verdict:
    """What a certificate says of a setting, and what was measured. certificate: none if it could not be made."""

    setting: Setting
    certificate: Certificate | None
    measured: tuple[Measured, ...]

    @property
    def kind(self) -> Kind | None:
        return self.setting.declared or (self.certificate.kind if self.certificate else None)

    @property
    def passed(self) -> bool:
        return all(m.passed for m in self.measured)

    @property
    def made(self) -> bool:
        """Could every measurement be made?"""
        return all(m.made for m in self.measured)

    @property
    def law(self) -> str:
        """What the certificate declares, in a few words: without the network and the settings."""
        if self.certificate is None:
            return "unknown"
        if self.certificate.kind == "bound":
            return self.certificate.law.rpartition(": ")[2].partition(";")[0]
        if self.certificate.kind == "none":
            return "none stated"
        words = self.certificate.law.partition(" of Transformer")[0]
        return (
            words.removeprefix("An exact sample of the ").removeprefix("The greedy text of the ").removesuffix(" law")
        )

    @property
    def law_measured(self) -> Measured:
        """The measurement of a law, or of texts, that is farthest from what is declared."""
        same = [m for m in self.measured if m.how == self.measured[0].how]
        return max(same, key=lambda m: m.distance or 0.0)

    @property
    def p_value(self) -> float | None:
        """The smallest of all."""
        return min((m.p_value for m in self.measured if m.p_value is not None), default=None)

    @property
    def failures(self) -> list[Measured]:
        return [m for m in self.measured if not m.passed]

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.setting.method,
            "options": dict(self.setting.options),
            "temperature": self.setting.temperature,
            "top_p": self.setting.top_p,
            "kind": self.kind,
            "law": self.certificate.law if self.certificate else None,
            "passed": self.passed,
            "measured": [asdict(m) for m in self.measured],
        }


SUITE_KIND = RecordKind("verify", "fef verify", {"verdicts": Verdict})


def verdicts(measure: Mapping[Key, Callable[[], Verdict]], progress: Progress) -> list[Verdict]:
    """The verdicts of these settings, by their names."""
    tasks = [Task(key, lambda one=one: [one()]) for key, one in measure.items()]  # type: ignore[misc]
    return carry_out(Record(SUITE_KIND, "fef verify", {}), tasks, progress).of(Verdict)


def most(score: Callable[[Array], float], *, sampled: bool = False, bias: float = 0.0, **more: Any) -> Reference:
    """One slot at a time, the one that scores best: by the network's law, or by the law with temperature and top-p."""

    def select(pipeline: Pipeline) -> Select:
        return ranked((lambda law: score(pipeline(law))) if sampled else score, bias=bias)

    return partial(chain_law, select=select, **more)


RANDOM, TWO_PASSES = partial(chain_law, drawn=True), partial(chain_law, passes=2)
REMDM = partial(chain_law, passes=3, eta=0.2)
CONFIDENCE, IN_TWOS = most(confidence), most(confidence, block_length=2)
TABLES: tuple[Name, ...] = ("consistent", "inconsistent")
NETWORK: tuple[Name, ...] = ("network",)
PAIRS = {"tokens_per_step": 2}
REJECT = {"verify": "rows", "accept": "rejection"}
REJECT_PACKED = {"verify": "packed", "accept": "rejection"}
REJECT_IN_ORDER = {"order": "left-to-right", "accept": "rejection"}
ANY_ORDER, ESO = partial(packed_law, drawn=True), partial(packed_law, drawn=True, share=0.25)
BY_ROWS: Other = ("sequential", {})
BY_PACKED: Other = ("sequential", {"verify": "packed"})


def product(share: float, window: int, *, coupled: bool = False) -> Reference:
    return partial(process_law, target=partial(product_of_experts, share=share), window=window, coupled=coupled)


def ordered(window: int, *, coupled: bool = False, drawn: bool = False) -> Reference:
    return partial(process_law, target=order_causal, window=window, coupled=coupled, drawn=drawn)


def short(method: str, options: Mapping[str, Any], law: Reference = CONFIDENCE, **more: Any) -> Setting:
    """On canvases of three slots: for decoders whose law has many paths."""
    return Setting(method, options, law=law, length=3, **more)


def tree(options: dict[str, Any], **more: Any) -> Setting:
    """A tree of drafts, whose common noise is integrated. A draft head, which networks have here, is blind to that noise."""
    options = {"verify": "packed"} | options
    return Setting("fef", options, law=packed_law, subjects=NETWORK, same_as=BY_PACKED, wrap=QuantileNoise, **more)


NAMED: tuple[Setting, ...] = (
    Setting("sequential", oracle=True),
    Setting("sequential", top_p=0.8),
    Setting("sequential", temperature=0),
    short("sequential", {"order": "random"}, RANDOM),
    short("sequential", {"order": "blocks", "block_length": 2}, partial(chain_law, drawn=True, block_length=2)),
    Setting("sequential", {"contrast": 0.5}, law=partial(chain_law, contrast=0.5)),
    Setting("sequential", {"verify": "packed"}, law=packed_law, subjects=NETWORK),
    Setting("sequential", {"cache": "prefix"}, subjects=("block-causal",)),
    #
    Setting("fef", {"verify": "rows", "window": 4}, by="samples", same_as=BY_ROWS, oracle=True),
    Setting("fef", REJECT | {"window": 2}),
    Setting("fef", REJECT, slow=True),
    Setting("fef", REJECT | {"window": 3}, temperature=0.7, top_p=0.8),
    Setting("fef", REJECT | {"window": 3, "contrast": 0.5}, law=partial(chain_law, contrast=0.5), subjects=TABLES),
    Setting("fef", REJECT | {"window": 4, "survival": 0.5}, subjects=TABLES),
    Setting("fef", REJECT | {"window": 3, "draft": "fresh", "planner": "influence", "survival": 0.2}, subjects=NETWORK),
    Setting("fef", {"verify": "rows", "accept": "block", "window": 3, "draft": "fresh"}),
    Setting("fef", {"verify": "rows", "accept": "block", "window": 8}, subjects=(), oracle=True),
    Setting("fef", REJECT | {"window": 2, "cache": "prefix"}, subjects=("block-causal",)),
    short("fef", REJECT | {"window": 2, "steps": 2}, TWO_PASSES, subjects=TABLES),
    short("fef", REJECT | {"window": 2, "steps": 2}, TWO_PASSES, subjects=NETWORK, slow=True),
    short("fef", REJECT | {"window": 2, "steps": 3, "remask": "remdm"}, REMDM, by="samples"),
    short("fef", REJECT | {"window": 2, "steps": 2, "remask": "low-confidence"}, TWO_PASSES, subjects=TABLES),
    short("fef", REJECT_PACKED | {"window": 2}, packed_law, subjects=NETWORK),
    Setting("fef", REJECT_PACKED, law=packed_law, subjects=NETWORK, slow=True),
    Setting("fef", {"verify": "packed"}, law=packed_law, subjects=NETWORK, by="samples", same_as=BY_PACKED),
    Setting("fef", {"verify": "rows", "window": 3}, temperature=0, same_as=BY_ROWS),
    tree({"tree": 3, "depth": 2, "anchors": 1, "head": "none"}),
    tree({"tree": 2, "depth": 1, "head": "none"}, temperature=0.7),
    tree({"tree": 8, "depth": 3, "head": "none"}, temperature=0.7, top_p=0.8),
    tree({"tree": 2, "depth": 2}),
    tree({"tree": 8, "depth": 3}, temperature=0.7, top_p=0.8),
    #
    Setting("dual-exact", {"verify": "rows", "drafts": 2}, subjects=NETWORK, by="samples", same_as=BY_ROWS),
    short("dual-exact", REJECT | {"drafts": 2, "window": 2}, chain_law, subjects=NETWORK),
    Setting("dual-exact", {"verify": "packed"}, law=packed_law, subjects=NETWORK, by="samples", same_as=BY_PACKED),
    Setting("dual-exact", REJECT_PACKED | {"drafts": 2, "window": 2}, law=packed_law, subjects=NETWORK),
    Setting("dual-exact", {"verify": "rows"}, temperature=0, subjects=NETWORK, same_as=BY_ROWS),
    Setting("deer", {"accept": "rejection", "window": 2}, law=causal_law, subjects=NETWORK),
    Setting("deer", {"accept": "block"}, temperature=0.7, top_p=0.8, law=causal_law, subjects=NETWORK),
    Setting("deer", law=causal_law, subjects=NETWORK, by="samples"),
    Setting("deer", temperature=0, law=causal_law, subjects=NETWORK),
    #
    Setting("apd", {"share": 0.5}, law=product(0.5, 16, coupled=True), subjects=NETWORK, by="samples"),
    Setting("apd", {"lookahead": 1}, subjects=NETWORK, by="samples"),
    Setting("apd-exact", {"accept": "rejection", "window": 2}, law=product(0.6, 2), subjects=NETWORK),
    Setting("apd-exact", {"accept": "rejection", "share": 0.3}, 0.7, 0.8, law=product(0.3, 16), subjects=NETWORK),
    Setting("apd-exact", law=product(0.6, 16, coupled=True), subjects=NETWORK, by="samples"),
    Setting("apd-exact", {"accept": "rejection"}, temperature=0, law=product(0.6, 16), subjects=NETWORK),
    Setting("apd-exact", {"accept": "rejection", "window": 1}, law=product(0.6, 1), subjects=NETWORK),
    #
    Setting("dcd", {"accept": "rejection", "steps": 1}, law=copula_law, subjects=NETWORK),
    Setting("dcd", law=partial(copula_law, passes=2), subjects=NETWORK, by="samples"),
    Setting("dcd", {"steps": 3}, 0.7, 0.8, law=partial(copula_law, passes=3), subjects=NETWORK, by="samples"),
    Setting("dcd", {"steps": 1}, temperature=0, law=copula_law, subjects=NETWORK),
    #
    Setting("ssmd", REJECT_IN_ORDER | {"window": 2}, law=ordered(2), subjects=NETWORK),
    Setting("ssmd", REJECT_IN_ORDER, 0.7, 0.8, law=ordered(16), subjects=NETWORK),
    Setting("ssmd", {"accept": "rejection"}, law=ordered(16, drawn=True), subjects=NETWORK, slow=True),
    Setting("ssmd", {"order": "left-to-right"}, law=ordered(16, coupled=True), subjects=NETWORK, by="samples"),
    Setting("ssmd", REJECT_IN_ORDER, temperature=0, law=ordered(16), subjects=NETWORK),
    Setting("ssmd", REJECT_IN_ORDER | {"window": 1}, subjects=NETWORK),
    #
    Setting("adjust", {"tokens": 2}, law=partial(joint_law, tokens=2), subjects=NETWORK),
    Setting("adjust", {}, 0.7, 0.8, law=partial(joint_law, tokens=4), subjects=NETWORK),
    Setting("adjust", temperature=0, law=partial(joint_law, tokens=4), subjects=NETWORK),
    Setting("adjust", {"tokens": 1}, law=most(certainty), subjects=NETWORK),
    #
    Setting("eso", {"share": 1.0}, law=ANY_ORDER, subjects=NETWORK, by="samples"),
    Setting("eso", {"share": 0.25, "tokens_per_step": 1}, law=ESO, subjects=NETWORK, by="samples"),
    Setting("eso", {"share": 0.0}, temperature=0, law=packed_law, subjects=NETWORK),
    Setting("eso-exact", {"share": 0.25}, law=ESO, subjects=NETWORK, by="samples"),
    Setting("eso-exact", {"share": 0.25, "accept": "block"}, 0.7, 0.8, law=ESO, subjects=NETWORK, by="samples"),
    Setting("eso-exact", {"share": 0.0}, law=packed_law, subjects=NETWORK, by="samples", same_as=BY_PACKED),
    Setting("eso-exact", {"share": 0.0}, temperature=0, law=packed_law, subjects=NETWORK),
    #
    Setting("dual", {"drafts": 2}, law=CONFIDENCE, subjects=NETWORK, by="samples"),
    Setting("dual", {"keep": "kl", "limit": 0.1}, law=CONFIDENCE, subjects=NETWORK, by="samples"),
    #
    Setting("low-confidence", temperature=0, law=CONFIDENCE),
    Setting("low-confidence", {"block_length": 2}, temperature=0, law=IN_TWOS),
    short("low-confidence", {}, subjects=TABLES),
    short("low-confidence", PAIRS, subjects=TABLES, oracle=True),
    Setting("low-confidence", PAIRS, temperature=0, law=CONFIDENCE),
    short("random", {}, RANDOM, oracle=True),
    short("random", PAIRS, RANDOM, subjects=TABLES),
    short("random", {"tokens_per_step": 8}, RANDOM, subjects=TABLES, oracle=True),
    Setting("ssd", temperature=0, law=CONFIDENCE, same_as=("low-confidence", {})),
    Setting("freedave", temperature=0, law=CONFIDENCE, same_as=("low-confidence", {})),
    Setting("freedave", PAIRS, temperature=0, law=CONFIDENCE, same_as=("low-confidence", PAIRS)),
    #
    short("origin", {"steps": 2}, chain_law, subjects=TABLES, oracle=True),
    short("remdm", {"steps": 3}, chain_law, subjects=TABLES, by="samples", oracle=True),
    Setting("maskgit-plus", {"tokens_per_step": 1}, temperature=0, law=CONFIDENCE),
    short("maskgit-plus", {"tokens_per_step": 1}, subjects=TABLES),
    short("topk-margin", {"tokens_per_step": 1}, most(margin), oracle=True),
    short("topk-margin", {"tokens_per_step": 1}, most(margin, sampled=True), temperature=0.7, top_p=0.9),
    short("topk-margin", {}, most(margin), subjects=TABLES),
    short("entropy", {"tokens_per_step": 1}, most(certainty)),
    short("entropy", {"tokens_per_step": 1}, most(certainty, sampled=True), temperature=0.7, top_p=0.9),
    short("entropy", {"tokens_per_step": 1, "left_bias": 0.5}, most(certainty, bias=0.5), subjects=TABLES),
    short("entropy", {"tokens_per_step": 1, "alg_temp": 0.5}, subjects=("consistent",), by="samples"),
    short("entropy", {"steps": 2}, most(certainty), subjects=TABLES, oracle=True),
    #
    Setting("threshold", {"threshold": 0.6}),
    Setting("threshold", {"threshold": 0.9}, slow=True),
    Setting("threshold", {"threshold": 1.0, "cache": "dual", "block_length": 2}, law=IN_TWOS, subjects=NETWORK),
    Setting("threshold", {"threshold": 1.0, "cache": "prefix", "block_length": 2}, law=IN_TWOS, subjects=NETWORK),
    Setting("factor", {"factor": 1.0}),
    Setting("factor", {"factor": 1.0, "cache": "dual", "block_length": 2}, law=IN_TWOS, subjects=NETWORK),
    # at temperature 0 four slots are too few: the first two passes of a block are full ones
    Setting("delayed-cache", law=CONFIDENCE, subjects=NETWORK),
    Setting("entropy-bounded", {"gamma": 0.1}),
    Setting("entropy-bounded", {"gamma": 0.5}),
    short("policy", {}, subjects=NETWORK, by="samples"),
    short("klass", {"threshold": 0.3, "epsilon": 1.0, "history": 1}, subjects=TABLES),
    Setting("schedule", {"steps": 2}),
    Setting("schedule", {"steps": 3}, slow=True),
    Setting("demask", {"influence": "probe", "tau": 0.1}),
    Setting("demask", {"influence": "probe", "tau": 0.3}),
)
OTHERS = [name for name in METHODS if all(setting.method != name for setting in NAMED)]
SETTINGS = NAMED + tuple(Setting(name, law=CONFIDENCE, subjects=TABLES, by="samples") for name in OTHERS)
"""A method without a setting of its own runs at its defaults, against the chain that most heuristics imitate."""


def settings_of(methods: Sequence[str], *, slow: bool = False) -> list[Setting]:
    """The settings of these methods; of all, if none is named. Raises OptionError for an unknown method."""
    for name in methods:
        if name not in METHODS:
            raise OptionError(f"Unknown method {name!r}.{nearest_hint(name, METHODS)}")
    return [s for s in SETTINGS if (not methods or s.method in methods) and (slow or not s.slow)]


def verdict(setting: Setting, effort: Effort, check: Check = check) -> Verdict:
    """Measure one setting against what its certificate says, or against `setting.declared`. check: what that is held to.

    What raises is a failed measurement, after those made before it.
    """
    certificate: Certificate | None = None
    measured: list[Measured] = []
    try:
        with setting.broken():
            certificate = setting.certificate()
            measured.extend(check(setting.declared or certificate.kind, setting, effort))
        assert measured, "a check measures something"
    except Exception as error:
        measured.append(Measured.failed(error))
    return Verdict(setting, certificate, tuple(measured))
