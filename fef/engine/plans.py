"""The plans of an engine's requests, which are remembered, and their certificates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fef.decoders import make_plan, read_given
from fef.decoding.certificate import Certificate, certificate_of
from fef.decoding.inputs import Settings, check_greedy
from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.decoding.requirements import check_grammar
from fef.engine.build import EngineOptions
from fef.grammar.compiled import TokenGrammar

__all__ = ["Plans"]

_PLANS_KEPT = 256


class Plans:
    """Of requests to this denoiser. Requests of one plan share passes."""

    def __init__(self, denoiser: Callable[..., Tensor]) -> None:
        self.denoiser = denoiser
        self.plans: dict[Any, Plan] = {}

    def plan(self, method: str, options: dict[str, Any]) -> Plan:
        """The plan of a method. Raises OptionError for options that it does not take, and for those of engines."""
        EngineOptions.refuse_in_request(options)
        options = read_given(method, options)
        # what can be called is itself and nothing else, and the plan holds it; as a key it may refuse to serve
        named = {name: id(value) if callable(value) else value for name, value in options.items()}
        key = (method, tuple(sorted(named.items())))
        plan = self.plans.get(key)
        if plan is None:
            plan = make_plan(method, options, Network(self.denoiser))
            if len(self.plans) >= _PLANS_KEPT:
                self.plans.clear()
            self.plans[key] = plan
        return plan

    def certificate(self, plan: Plan, settings: Settings, grammar: TokenGrammar | None = None) -> Certificate:
        """What a request with this plan and these settings samples. Raises OptionError where they do not fit together."""
        network = Network(self.denoiser)
        check_greedy(plan, settings)
        if grammar is not None:
            check_grammar(plan, network, settings)
        return certificate_of(plan, network, settings, [grammar])
