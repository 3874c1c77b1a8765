"""The certificate: which law a composition of parts samples, computed from what each part declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fef.decoding.inputs import Settings
from fef.decoding.network import Network
from fef.decoding.plan import Plan, Speculation
from fef.grammar.compiled import TokenGrammar
from fef.laws.claim import LawClaim
from fef.laws.pipeline import Cut

__all__ = ["Certificate", "Kind", "certificate_of"]

Kind = Literal["chain", "greedy", "process", "bound", "none"]


@dataclass(frozen=True)
class Certificate:
    """kind: "chain" (an exact sample of the chain law of this network), "greedy" (its argmax chain), "process" (exact for a
    law only the algorithm defines), "bound" (within a stated distance), "none" (a heuristic). law: one sentence.
    reasons: one for each part that decides it."""

    kind: Kind
    law: str
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"kind": self.kind, "law": self.law, "reasons": list(self.reasons)}


def certificate_of(
    plan: Plan, network: Network, settings: Settings, grammars: Iterable[TokenGrammar | None] = ()
) -> Certificate:
    """What a plan samples on a network with these settings, under these grammars. Quantized weights have a law of their
    own."""
    given = list(grammars)
    known = list(dict.fromkeys(grammar for grammar in given if grammar is not None))
    greedy, block_causal, weight_format = settings.greedy, network.block_causal, network.weight_format
    name = network.name if weight_format is None else f"{network.name} with {weight_format} weights"
    words = settings.words(plan.first_cut)
    if known:
        allowed = known[0].grammar.words if len(known) == 1 else "the grammar of its row"
        words += (
            f", where each token is drawn from the law renormalised over what {allowed} allows behind those before it"
        )
        words += ", in rows that have one" if None in given else ""
    claims = [
        *([plan.says.claim()] if plan.says else [conditionals(plan, block_causal), *weight_claims(weight_format)]),
        *(LawClaim(True, grammar.reason) for grammar in known),
        *change_claims(plan, settings),
        order_claim(plan),
        *commit_claims(plan, greedy),
        *cache_claims(plan, block_causal),
        *steps_claims(plan),
    ]
    reasons = tuple(f.reason for f in claims)
    broken = [f for f in claims if not f.keeps]
    unbound = [f for f in broken if f.bound is None]
    if unbound:
        return Certificate("none", f"No stated law of {name}: {unbound[0].reason}", reasons)
    own = f"{name} under {conditional_words(plan)}" if plan.says is None else plan.says.whose(name)
    changed = bool(settings.biases) or settings.holds_end_back
    if broken and (changed or (not greedy and not settings.plain)):
        reason = "bound: it holds for draws at temperature 1 without top-p and top-k, and for their modes"
        if changed:
            reason = "bound: of the network's own conditionals, which logit_bias, min_tokens and ignore_eos change"
        return Certificate("none", f"No stated law of {name}: {reason}", (*reasons, reason))
    if broken:
        tokens = "commits the modes of slots" if greedy else "draws slots independently"
        bounds = " and ".join(str(f.bound) for f in broken)
        near = f"their product law is within a bound of the joint law of {own}"
        law = f"Each round {tokens}; {near}: {bounds}; {words}."
        return Certificate("bound", law, (*reasons, BOUND_NOTE))
    passes = "" if plan.steps == 1 else f" in each of {plan.steps} denoising passes"
    chain = f"{order_words(plan)} chain law of {own}{passes}, {words}"
    if plan.says is not None and plan.says.moving:
        return Certificate("process", f"An exact sample of the {order_words(plan)} process of {own}, {words}.", reasons)
    if greedy and plan.steps == 1:
        return Certificate("greedy", f"The greedy text of the {chain}.", reasons)
    return Certificate("chain", f"An exact sample of the {chain}.", reasons)


BOUND_NOTE = (
    "bound: of the network's law at temperature 1 given what is committed, if its conditionals are consistent; ids that are "
    "never drawn and the rule that after EOS comes EOS are not counted"
)


def conditional_words(plan: Plan) -> str:
    words = "the packed attention pattern" if plan.law == "packed" else "its own plain forward"
    if plan.guidance.cfg_scale:
        words += f" with classifier-free guidance {plan.guidance.cfg_scale:g}"
    if plan.guidance.contrast:
        words += f" with position contrast {plan.guidance.contrast:g}"
    return words


def order_words(plan: Plan) -> str:
    inside = f", blocks of {plan.block_length}" if plan.block_length else ""
    if plan.speculation is None and plan.rule.order_words is not None:
        first = "first-slot-of-a-block-first, then " if plan.first_slot_first else ""
        return first + plan.rule.order_words + inside
    words = {"left-to-right": "left-to-right", "random": "random-order", "blocks": "block-order"}[plan.order]
    if plan.random_share < 1:
        words += f" (of each slot with probability {plan.random_share:g}, then left-to-right)"
    return words + inside


def conditionals(plan: Plan, block_causal: bool) -> LawClaim:
    law = "law: each token given the canvas with the tokens before it filled in, one plain forward per state"
    if plan.law == "packed":
        law = "law: each token given X_t and the tokens before it, by the packed pattern with exact caches"
    if block_causal:
        law += "; block-causal attention: no token sees what stands behind its own block"
    if plan.guidance.on:
        law += "; guidance changes the network's logits, the same way wherever they are used"
    return LawClaim(True, law)


def weight_claims(weight_format: str | None) -> Iterator[LawClaim]:
    if weight_format is not None:
        words = f"weights: {weight_format}, one scale per output row: the law is that of the quantized weights"
        yield LawClaim(True, words)


def change_claims(plan: Plan, settings: Settings) -> Iterator[LawClaim]:
    """What settings make of the law, each of which depends on no drawn value."""
    if settings.biases:
        words = "logit_bias: added to the logits before temperature and cuts, at every slot, wherever the law is used"
        yield LawClaim(True, words)
    if plan.banned:
        words = f"banned: never drawn {', '.join(map(str, plan.banned))}, so that the law is that of the other ids"
        yield LawClaim(True, words)
    if settings.holds_end_back:
        words = f"end: {settings.end_words}, by a ban at those positions, which depends on no drawn value"
        yield LawClaim(True, words)
    if settings.cuts_p and settings.cuts_k:
        cuts: dict[Cut, str] = {
            "top-k": "top-k first, then top-p of what is left, as in transformers",
            "top-p": "top-p of the whole law first, then top-k, as in Dream's own decoder",
        }
        yield LawClaim(True, f"cuts: {cuts[plan.first_cut]}")
    if settings.cuts_p and not plan.keeps_crossing:
        yield LawClaim(True, "cuts: top-p drops the token with which the mass passes p, as in ReMDM's code")
    if plan.after_eos == "free":
        words = "after EOS: free, slots behind an end token are drawn like any other, as in LLaDA's own decoder"
        yield LawClaim(True, words)


def order_claim(plan: Plan) -> LawClaim:
    if plan.speculation is None and not plan.rule.in_order:
        return LawClaim(True, "order: slots are chosen anew each round, by the commit rule")
    drawn = {"left-to-right": "fixed", "random": "drawn from the seed before any token", "blocks": "drawn in blocks"}
    return LawClaim(True, f"order: {plan.order}, {drawn[plan.order]}, so it cannot depend on drawn values")


def commit_claims(plan: Plan, greedy: bool) -> Iterator[LawClaim]:
    if plan.speculation is not None:
        yield draft_claim(plan.speculation)
        yield accept_claim(plan.speculation)
        return
    yield plan.rule.claim(greedy)
    if plan.replay:
        yield LawClaim(True, "replay: rounds ahead count only where the rule itself would have done the same")
    if plan.revoke is not None:
        yield plan.revoke.claim()


def draft_claim(spec: Speculation) -> LawClaim:
    name = spec.draft if isinstance(spec.draft, str) else "custom"
    return LawClaim(
        True, f"draft: {name}; the law each draft is drawn from is recorded and used by the acceptance rule"
    )


def accept_claim(spec: Speculation) -> LawClaim:
    words = {
        "coupled": "the target token itself is committed, so the text depends on seed and law alone",
        "rejection": "min(1, p/q) and the residual law",
        "block": "block verification, 2403.10444",
    }
    return LawClaim(True, f"accept: {spec.accept}: {words[spec.accept]}")


def cache_claims(plan: Plan, block_causal: bool) -> Iterator[LawClaim]:
    if plan.exact_cache(block_causal):
        yield LawClaim(True, "cache: keys of finished blocks, which no later token changes: exact")
    elif plan.cache is not None:
        yield LawClaim(False, f"cache: {plan.cache.kind}: keys of an earlier canvas are reused, out of date")


def steps_claims(plan: Plan) -> Iterator[LawClaim]:
    rates = plan.remdm if plan.remask == "remdm" else None
    if plan.steps == 1:
        return
    if plan.remask == "low-confidence":
        yield LawClaim(False, "re-mask: low-confidence depends on the values drawn, so it is not value-free")
    elif rates is not None and not rates.blind:
        yield LawClaim(False, "re-mask: ReMDM-conf hides tokens of low confidence more often, so it is not value-free")
    else:
        words = "the reverse transition" if rates is None else f"ReMDM-{rates.strategy}"
        note = "equal to the one-pass law only if the network's conditionals are consistent"
        yield LawClaim(True, f"re-mask: random by {words}, blind to values; a {plan.steps}-pass law, {note}")
