"""The certificate: which law a composition of parts samples, computed from what each part declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fef.decoding.plan import Plan

__all__ = ["Certificate", "Kind", "certificate_of"]

Kind = Literal["chain", "greedy", "process", "bound", "none"]


@dataclass(frozen=True)
class Certificate:
    """kind: "chain" (an exact sample of the chain law of this network), "greedy" (its argmax chain), "process" (exact for a
    law only the algorithm defines), "bound" (within a stated distance), "none" (a heuristic). law: one sentence.
    reasons: one a part that decides it."""

    kind: Kind
    law: str
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        return {"kind": self.kind, "law": self.law, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Finding:
    """What one part declares: does it keep the law, and why."""

    keeps: bool
    reason: str


def certificate_of(plan: Plan, network_name: str, settings: str, greedy: bool) -> Certificate:
    """The class of a plan (methods.md 22.3). `settings` words the sampling settings; `greedy`: temperature 0 in all rows."""
    findings = [order_finding(plan), draft_finding(plan), *commit_findings(plan, greedy), *steps_findings(plan)]
    reasons = tuple(f.reason for f in [conditionals(plan), *findings])
    broken = [f.reason for f in findings if not f.keeps]
    if broken:
        law = f"No stated law of {network_name}: {broken[0]}"
        return Certificate("none", law, reasons)
    passes = "" if plan.steps == 1 else f" in each of {plan.steps} denoising passes"
    chain = f"{order_words(plan)} chain law of {network_name} under {conditional_words(plan)}{passes}, {settings}"
    if greedy and plan.steps == 1:
        return Certificate("greedy", f"The greedy text of the {chain}.", reasons)
    return Certificate("chain", f"An exact sample of the {chain}.", reasons)


def conditional_words(plan: Plan) -> str:
    return "the packed attention pattern" if plan.law == "packed" else "its own plain forward"


def order_words(plan: Plan) -> str:
    if plan.rank_by_draw:
        return "most-confident-first" + (f", blocks of {plan.block_length}" if plan.block_length else "")
    inside = f", blocks of {plan.block_length}" if plan.block_length else ""
    return {"left-to-right": "left-to-right", "random": "random-order", "blocks": "block-order"}[plan.order] + inside


def conditionals(plan: Plan) -> Finding:
    if plan.law == "packed":
        return Finding(
            True, "law: each token given X_t and the tokens before it, by the packed pattern with exact caches"
        )
    return Finding(
        True, "law: each token given the canvas with the tokens before it filled in, one plain forward a state"
    )


def order_finding(plan: Plan) -> Finding:
    if plan.rank_by_draw:
        return Finding(True, "order: slots are ranked by the probability of the token drawn there")
    drawn = {"left-to-right": "fixed", "random": "drawn from the seed before any token", "blocks": "drawn in blocks"}
    return Finding(True, f"order: {plan.order}, {drawn[plan.order]}, so it cannot depend on drawn values")


def draft_finding(plan: Plan) -> Finding:
    if not plan.speculate:
        return Finding(True, "draft: none")
    name = plan.draft if isinstance(plan.draft, str) else "custom"
    return Finding(True, f"draft: {name}; the law each draft is drawn from is recorded and used by the acceptance rule")


def commit_findings(plan: Plan, greedy: bool) -> list[Finding]:
    if plan.speculate:
        words = {
            "coupled": "the target token itself is committed, so the text depends on seed and law alone",
            "rejection": "min(1, p/q) and the residual law",
            "block": "block verification, 2403.10444",
        }
        return [Finding(True, f"accept: {plan.accept}: {words[plan.accept]}")]
    one = plan.window == 1 and plan.rounds is None
    if not one:
        return [Finding(False, "commit: several tokens of one pass are drawn independently (the product law)")]
    if plan.rank_by_draw and not greedy:
        return [Finding(False, "commit: which token is committed depends on the values drawn (law 2)")]
    return [Finding(True, "commit: one token a pass, drawn from its own conditional")]


def steps_findings(plan: Plan) -> list[Finding]:
    if plan.steps == 1:
        return []
    if plan.remask == "low-confidence":
        return [Finding(False, "re-mask: low-confidence depends on the values drawn (law 3)")]
    note = "equal to the one-pass law only if the network's conditionals are consistent"
    return [
        Finding(True, f"re-mask: random by the reverse transition, blind to values; a {plan.steps}-pass law, {note}")
    ]
