"""Which plans packed rounds run, and what they settle themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fef.decoding.certificate import Certificate
from fef.decoding.plan import Plan
from fef.decoding.transfer import PerRound
from fef.decoding.unmask import InOrder
from fef.models.packed_pass import RoundShape

__all__ = ["runs_packed", "with_own_rounds"]

# Options of a plan that say what its rounds cost, and which packed rounds settle themselves.
_OWN = ("window", "tree", "depth", "bonus", "anchors", "survival", "planner", "head")


def runs_packed(plan: Plan) -> bool:
    """Can rounds of fixed shape run this plan? They know the packed law, coupled acceptance and drafts of the last round."""
    spec = plan.speculation
    if plan.law != "packed":
        return False
    if spec is None:
        return plan.rule == InOrder(PerRound(1)) and not plan.replay and plan.revoke is None
    return spec.accept == "coupled" and spec.draft == "reuse"


def with_own_rounds(certificate: Certificate, given: Mapping[str, Any], shapes: Sequence[RoundShape]) -> Certificate:
    """The certificate of a request with these options, which says what rounds of an engine's own shapes took their place."""
    unused = [f"{name}={given[name]!r}" for name in _OWN if name in given]
    if not unused:
        return certificate
    kind = ", ".join(shape.words for shape in shapes)
    if len(shapes) > 1:
        kind = f"{kind}, by measured cost"
    reason = (
        f"rounds: the engine's own, of {kind}, in place of {', '.join(unused)}; under "
        "coupled acceptance no text depends on it"
    )
    return replace(certificate, reasons=(*certificate.reasons, reason))
