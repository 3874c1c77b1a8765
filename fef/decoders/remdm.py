"""The reverse transition of Dream and MDLM (arXiv 2508.15487), and ReMDM (arXiv 2503.00307): how often what was revealed is
hidden again, and how often what was drawn is shown.

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import DREAM_CUT, MOST_PASSES, Ending, Guided
from fef.decoding.network import Network
from fef.decoding.options import number, one_of, whole
from fef.decoding.plan import Plan, ScheduleName
from fef.decoding.transfer import Everything
from fef.decoding.unmask import InOrder
from fef.errors import OptionError

__all__ = ["DEFAULT_ETA", "ORIGIN", "REMDM", "OriginOptions", "Remdm", "RemdmOptions", "Strategy"]

Strategy = Literal["rescale", "cap", "conf", "loop"]
DEFAULT_ETA = 0.2
ETAS: dict[Strategy, float] = {"rescale": DEFAULT_ETA, "cap": 0.04, "conf": 0.0, "loop": 0.02}


@dataclass(frozen=True)
class OriginOptions(Guided, Ending):
    """The reverse transition with an x_0 that is drawn factorized: each mask is revealed with probability 1 - s / t."""

    steps: int = whole(32, most=MOST_PASSES)
    block_length: int | None = whole(None)
    schedule: ScheduleName = one_of("linear", get_args(ScheduleName))

    def plan(self, name: str, network: Network) -> Plan:
        return Plan(name, rule=InOrder(Everything()), steps=self.steps, first_cut=DREAM_CUT)


@dataclass(frozen=True)
class RemdmOptions(OriginOptions):
    """strategy: which of ReMDM's. eta: its rate; None is the strategy's own. t_on, t_off, alpha_on: the times of "loop"."""

    strategy: Strategy = one_of("rescale", get_args(Strategy))
    eta: float | None = number(None, high=1.0)
    t_on: float | None = number(None, high=1.0)
    t_off: float | None = number(None, high=1.0)
    alpha_on: float | None = number(None, high=1.0)

    def plan(self, name: str, network: Network) -> Plan:
        plan = super().plan(name, network)
        return replace(plan, remask="remdm", remdm=self.remdm, keeps_crossing=False, first_cut="top-k")

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
class Remdm:
    """The strategies of the paper's section 4 and of its code (github.com/kuleshov-group/remdm).

    The most that a revealed token may be hidden again, so that the marginals q(x_s | x_0) stay, is
    sigma_max = min(1, (1 - alpha_s) / alpha_t). "rescale" takes eta times that, "cap" at most eta. "conf" spreads it over the
    tokens in proportion to softmax(-p), p their probability when they were revealed. "loop" reveals without hiding until a
    share `alpha_on` is shown at time `t_on`, then hides at rate eta and reveals as much until `t_off`, then reveals the rest.
    """

    strategy: Strategy
    eta: float
    t_on: float = 0.55
    t_off: float = 0.05
    alpha_on: float = 0.9

    @property
    def blind(self) -> bool:
        """Does it hide tokens whatever they are?"""
        return self.strategy != "conf"

    def shown(
        self, keep: Callable[[float], float], t: float, s: float, drawn_BL: Tensor, revealed_BL: Tensor, logp_BL: Tensor
    ) -> Tensor:
        """Probability of each token to be visible at time s; float64 [B, L], 1 at tokens that are neither.

        keep: alpha of a time. drawn_BL: masks at time t that were just drawn. revealed_BL: tokens shown at time t. logp_BL:
        log p of each token when it was drawn.
        """
        alpha_t, alpha_s = self.alphas(keep, t, s)
        hide_BL = self.rates(alpha_t, alpha_s, t, revealed_BL, logp_BL)
        # nothing is hidden where a mask was: there sigma only makes up for what the others lose
        lost_BL = hide_BL if self.blind else torch.zeros_like(hide_BL)
        reveal_BL = (alpha_s - (1 - lost_BL) * alpha_t) / (1 - alpha_t)
        return torch.where(drawn_BL, reveal_BL, torch.where(revealed_BL, 1 - hide_BL, 1.0))

    def alphas(self, keep: Callable[[float], float], t: float, s: float) -> tuple[float, float]:
        if self.strategy != "loop":
            return keep(t), keep(s)
        if t > self.t_on:
            rise = self.alpha_on / (1 - self.t_on)
            return (1 - t) * rise, min(1.0, (1 - s) * rise)
        if t <= self.t_off:
            fall = (1 - self.alpha_on) / self.t_off
            return 1 - t * fall, 1 - s * fall
        return self.alpha_on, self.alpha_on

    def rates(self, alpha_t: float, alpha_s: float, t: float, revealed_BL: Tensor, logp_BL: Tensor) -> Tensor:
        """sigma of each token."""
        most = min(1.0, (1 - alpha_s) / alpha_t if alpha_t else 1.0)
        if self.strategy == "conf":
            doubt_BL = (-logp_BL.exp()).masked_fill(~revealed_BL, -torch.inf)
            return most * doubt_BL.softmax(1).masked_fill(~revealed_BL, 0.0)
        if self.strategy == "loop":
            sigma = self.eta if self.t_off < t <= self.t_on else 0.0
        else:
            sigma = self.eta * most if self.strategy == "rescale" else min(self.eta, most)
        return torch.full_like(logp_BL, sigma)


ORIGIN = Method(
    "origin",
    OriginOptions,
    "the reverse transition with a factorized x_0",
    "Dream, arXiv 2508.15487; MDLM",
    "none",
)
REMDM = Method(
    "remdm",
    RemdmOptions,
    "origin that also re-masks revealed tokens, blind to values",
    "ReMDM, arXiv 2503.00307",
    "none",
)
