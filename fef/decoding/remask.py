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
    same expected share, but those drawn with the lowest probability, which is no value-free re-masking (docs/laws.md): no law
    is kept. "remdm" hides revealed tokens again and reveals more in return (`RemaskRates`).
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
        if plan.remask == "remdm":
            assert plan.remdm is not None, "the preset gives its rates"
            revealed_BL = within_BL & ~hidden_BL
            show_BL = plan.remdm.shown(process.keep, t, s, hidden_BL, revealed_BL, canvas.logprob_BL)
            changed_BL = within_BL
        else:
            reveal = (process.keep(s) - process.keep(t)) / (1 - process.keep(t))
            show_BL, changed_BL = torch.full_like(canvas.logprob_BL, reveal), hidden_BL  # float64
        shown_BL = noise.bernoulli(show_BL, everywhere(changed_BL, k), Purpose.REMASK)
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
