"""Between denoising passes: the noise of the next, less noisy state. Random re-masking keeps the law, ranking does not.

Shapes: B rows, L canvas length, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.plan import Plan
from fef.laws.draws import Noise, Purpose, Site
from fef.laws.noise import AbsorbingNoise, SiteNoise

__all__ = ["first_noise", "remask"]


def first_noise(canvas: Canvas, within_BL: Tensor, process: SiteNoise, noise: Noise) -> None:
    """Under uniform noise, pending slots start from the prior x_1; under absorbing noise they are masks already."""
    if isinstance(process, AbsorbingNoise):
        return
    pending_BL = canvas.pending_BL & within_BL
    log_prior_V = process.prior(process.vocab_size, canvas.ids_BL.device).log()
    draw_BL = noise.categorical(log_prior_V.expand(*pending_BL.shape, -1), everywhere(pending_BL, 0), Purpose.PRIOR)
    elsewhere_BL = torch.where(within_BL.any(1, keepdim=True), canvas.ids_BL, canvas.noisy_BL)
    canvas.noisy_BL = torch.where(pending_BL, draw_BL, elsewhere_BL)
    canvas.ids_BL[pending_BL] = canvas.noisy_BL[pending_BL]


def remask(
    canvas: Canvas, hidden_BL: Tensor, within_BL: Tensor, plan: Plan, process: SiteNoise, noise: Noise, k: int
) -> None:
    """From x_0 drawn at time t = k / steps to x_s, s = t - 1 / steps, in the rows that have slots in `within_BL`. `hidden_BL`
    were drawn in this pass.

    "random" is the reverse transition q(x_s | x_t, x_0), which looks at no confidence: exact. "low-confidence" hides the
    same expected share, but those drawn with the lowest probability: no law is kept (methods.md 0.4, law 3). "remdm" hides
    revealed tokens again at rate sigma = eta min(1, (1 - alpha_s) / alpha_t) and reveals more in return, so that every
    marginal q(x_s | x_0) stays (ReMDM, 2503.00307, Eq. 5 and its "rescale" schedule): blind to values, too.
    """
    t, s = k / plan.steps, (k - 1) / plan.steps
    if not isinstance(process, AbsorbingNoise):
        x_s = posterior_draw(canvas, hidden_BL, process, noise, k, t, s)
        canvas.noisy_BL = torch.where(hidden_BL, x_s, canvas.noisy_BL)
        canvas.ids_BL[hidden_BL] = canvas.noisy_BL[hidden_BL]
        canvas.pending_BL |= hidden_BL
        return
    if plan.remask == "low-confidence":
        count_B = (within_BL.sum(1) * (1 - process.keep(s))).floor().long()
        hide_BL = hidden_BL & (lowest_first(canvas.confidence_BL, hidden_BL) < count_B[:, None])
    else:
        keep_t, keep_s = process.keep(t), process.keep(s)
        sigma = plan.eta * min(1.0, (1 - keep_s) / keep_t if keep_t else 1.0) if plan.remask == "remdm" else 0.0
        reveal = (keep_s - (1 - sigma) * keep_t) / (1 - keep_t)
        reveal_BL = torch.full_like(canvas.logprob_BL, 1 - sigma).masked_fill(hidden_BL, reveal)  # float64
        changed_BL = within_BL if sigma else hidden_BL
        shown_BL = noise.bernoulli(reveal_BL, everywhere(changed_BL, k), Purpose.REMASK)
        hide_BL = changed_BL & ~shown_BL
    canvas.erase(hide_BL, process.mask_id)


def posterior_draw(
    canvas: Canvas, hidden_BL: Tensor, process: SiteNoise, noise: Noise, k: int, t: float, s: float
) -> Tensor:
    assert not isinstance(process, AbsorbingNoise)
    log_BLV = process.posterior(canvas.noisy_BL, canvas.ids_BL, t, s, process.vocab_size).log()
    return noise.categorical(log_BLV, everywhere(hidden_BL, k), Purpose.REMASK)


def lowest_first(score_BL: Tensor, among_BL: Tensor) -> Tensor:
    """Place of each position when those in `among_BL` are sorted by score, lowest first."""
    order_BL = torch.where(among_BL, score_BL, torch.inf).argsort(dim=1, stable=True)
    return order_BL.argsort(dim=1)


def everywhere(active_BL: Tensor, step: int) -> Site:
    index_BL = torch.arange(active_BL.shape[1], device=active_BL.device).expand_as(active_BL)
    zero_B = torch.zeros_like(index_BL[:, 0])
    return Site(index_BL, zero_B + step, zero_B, active_BL)
