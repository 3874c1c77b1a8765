"""The settings of every method that the suite runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fef.decoding.certificate import Certificate, Kind
from fef.decoding.methods import METHODS
from fef.errors import OptionError, nearest_hint
from fef.verify.checks import CHECKS
from fef.verify.reference import Chain, confidence, ranked
from fef.verify.setting import Effort, Measured, Other, Setting

__all__ = ["SETTINGS", "Verdict", "settings_of", "verdict"]


@dataclass(frozen=True)
class Verdict:
    """What a certificate says of a setting, and what was measured."""

    setting: Setting
    certificate: Certificate
    measured: tuple[Measured, ...]

    @property
    def kind(self) -> Kind:
        return self.setting.declared or self.certificate.kind

    @property
    def passed(self) -> bool:
        return bool(self.measured) and all(m.passed for m in self.measured)

    @property
    def law(self) -> str:
        """What the certificate declares, in a few words: without the network and the settings."""
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


RANDOM = Chain(drawn=True)
CONFIDENCE = Chain(lambda _pipeline: ranked(confidence))
TABLES = ("consistent", "inconsistent")
TWO_PASSES = Chain(passes=2)
PACKED = Chain(packed=True)
SEQUENTIAL: Other = ("sequential", {"order": "left-to-right"})
PACKED_SEQUENTIAL: Other = ("sequential", {"verify": "packed"})
LOW_CONFIDENCE_REMASK = {"verify": "rows", "accept": "rejection", "steps": 2, "remask": "low-confidence"}

SETTINGS: tuple[Setting, ...] = (
    Setting("sequential", oracle=True),
    Setting("sequential", top_p=0.8),
    Setting("sequential", temperature=0),
    Setting("sequential", {"order": "random"}, chain=RANDOM, length=3),
    Setting("sequential", {"order": "blocks", "block_length": 2}, chain=Chain(drawn=True, block_length=2), length=3),
    Setting("sequential", {"verify": "packed"}, chain=PACKED, subjects=("network",)),
    Setting("fef", {"verify": "rows", "window": 4}, by="samples", same_as=SEQUENTIAL, oracle=True),
    Setting("fef", {"verify": "rows", "accept": "rejection", "window": 2}),
    Setting("fef", {"verify": "rows", "accept": "rejection"}, slow=True),
    Setting("fef", {"verify": "rows", "accept": "rejection", "window": 3}, temperature=0.7, top_p=0.8),
    Setting("fef", {"verify": "rows", "accept": "block", "window": 3, "draft": "fresh"}),
    Setting("fef", {"verify": "rows", "accept": "block", "window": 8}, subjects=(), oracle=True),
    Setting(
        "fef",
        {"verify": "rows", "accept": "rejection", "steps": 2, "window": 2},
        chain=TWO_PASSES,
        length=3,
        subjects=TABLES,
    ),
    Setting(
        "fef", {"verify": "packed", "accept": "rejection", "window": 2}, chain=PACKED, subjects=("network",), length=3
    ),
    Setting("fef", {"verify": "packed", "accept": "rejection"}, chain=PACKED, subjects=("network",), slow=True),
    Setting("fef", {"verify": "packed"}, chain=PACKED, subjects=("network",), by="samples", same_as=PACKED_SEQUENTIAL),
    Setting("fef", {"verify": "rows", "window": 3}, temperature=0, same_as=SEQUENTIAL),
    Setting("fef", LOW_CONFIDENCE_REMASK, chain=TWO_PASSES, length=3, subjects=TABLES),
    Setting("low-confidence", temperature=0, chain=CONFIDENCE),
    Setting("low-confidence", chain=CONFIDENCE, length=3, subjects=TABLES),
    Setting("low-confidence", {"tokens_per_step": 2}, chain=CONFIDENCE, length=3, subjects=TABLES, oracle=True),
    Setting("low-confidence", {"tokens_per_step": 2}, temperature=0, chain=CONFIDENCE),
    Setting("random", chain=RANDOM, length=3, oracle=True),
    Setting("random", {"tokens_per_step": 2}, chain=RANDOM, length=3, subjects=TABLES),
    Setting("random", {"tokens_per_step": 8}, chain=RANDOM, length=3, subjects=TABLES, oracle=True),
)


def settings_of(methods: Sequence[str], *, slow: bool = False) -> list[Setting]:
    """The settings of these methods; of all, if none is named. Raises OptionError for an unknown method."""
    for name in methods:
        if name not in METHODS:
            raise OptionError(f"Unknown method {name!r}.{nearest_hint(name, METHODS)}")
    return [s for s in SETTINGS if (not methods or s.method in methods) and (slow or not s.slow)]


def verdict(setting: Setting, effort: Effort) -> Verdict:
    """Measure one setting against what its certificate says, or against `setting.declared`."""
    certificate = setting.certificate()
    measured = tuple(CHECKS[setting.declared or certificate.kind](setting, effort))
    return Verdict(setting, certificate, measured)
