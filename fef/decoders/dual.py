"""DualDiffusion in our reading (arXiv 2604.05250): cheap steps, then one accurate look; and its drafter, made exact.

Shapes: B rows, C suspects, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from fef.decoders.method import CHAIN, CHECKPOINT, Method
from fef.decoders.settings import MOST_AHEAD, Ending, Ordered, Windowed
from fef.decoding.network import Network
from fef.decoding.options import flag, number, one_of, whole
from fef.decoding.plan import CacheKind, Guidance, Plan, Speculation, Verify
from fef.decoding.requirements import check_law, stale_cache
from fef.decoding.revoke import Revoke, Suspects
from fef.decoding.transfer import PerRound
from fef.decoding.unmask import TopScore
from fef.laws.claim import LawClaim

__all__ = ["DUAL", "DUAL_EXACT", "DualExactOptions", "DualOptions", "KeepConfident"]


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

    def plan(self, name: str, network: Network) -> Plan:
        return Plan(
            name,
            rule=TopScore("drawn", PerRound(self.tokens_per_step)),
            revoke=KeepConfident(self.keep, self.limit, self.drafts),
            cache=stale_cache(name, self.cache, network, Guidance()),
        )


@dataclass(frozen=True)
class KeepConfident(Revoke):
    """After each cycle of cheap drafts, one accurate look keeps the tokens it agrees with (DualDiffusion, 2604.05250).

    rule: "confidence" keeps a token of probability at least `limit`, "kl" one whose drafter law is within `limit` nats,
    KL(drafter || verifier). The most confident token of a cycle is always kept, so that each makes progress.
    """

    rule: Literal["confidence", "kl"]
    limit: float
    drafts: int
    commits = False
    recent = True
    masked = True

    @property
    def cycle(self) -> int:
        return self.drafts + 1

    @property
    def keeps_laws(self) -> bool:
        return self.rule == "kl"

    def select(self, s: Suspects) -> Tensor:
        if self.rule == "confidence":
            failed_BC = s.confidence_BC < self.limit
        else:
            assert s.drafted_BCV is not None, "keeps_laws asks for it"
            q_BCV = s.drafted_BCV.exp()
            failed_BC = torch.where(q_BCV > 0, q_BCV * (s.drafted_BCV - s.logp_BCV), 0.0).sum(-1) > self.limit
        best_BC = s.worst(s.confidence_BC, torch.ones_like(s.new_B))
        return failed_BC & ~best_BC & s.real_BC

    def claim(self) -> LawClaim:
        return LawClaim(
            False,
            f"revoke: the verifier keeps tokens by {self.rule}, which depends on their values, so it is not value-free; "
            "our reading of DualDiffusion, whose rule is not published in full",
        )


@dataclass(frozen=True)
class DualExactOptions(Windowed, Ordered):
    """DualDiffusion's cheap drafter, its laws recorded, and rejection by fresh targets."""

    drafts: int = whole(5, most=MOST_AHEAD)  # small passes of the drafter
    verify: Verify | Literal["auto"] = one_of("auto", ("auto", *get_args(Verify)))  # the law of the targets
    bonus: bool = flag(True)  # also draw the slot behind an accepted window

    def plan(self, name: str, network: Network) -> Plan:
        law: Verify = "packed" if network.packed is not None else "rows"
        law = law if self.verify == "auto" else self.verify
        check_law(law, network, Guidance())
        network.transformer(name)
        spec = Speculation(
            window=self.window, draft="stale", accept=self.accept, bonus=self.bonus, stale_steps=self.drafts
        )
        return Plan(name, law=law, speculation=spec)


DUAL = Method(
    "dual",
    DualOptions,
    "cheap steps on stale keys, then one accurate look that keeps or re-masks (our reading)",
    "DualDiffusion, arXiv 2604.05250",
    "none",
    CHECKPOINT,
)
DUAL_EXACT = Method(
    "dual-exact",
    DualExactOptions,
    "drafts of cheap steps on stale keys, their laws recorded, verified like fef",
    "DualDiffusion, arXiv 2604.05250, made exact",
    CHAIN,
    CHECKPOINT,
    visible_noise=True,
)
