"""ReMDM's rates: how often what was revealed is hidden again, and how often what was drawn is shown (2503.00307).

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Remdm", "Strategy"]

Strategy = Literal["rescale", "cap", "conf", "loop"]


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
