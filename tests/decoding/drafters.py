"""Drafters and noise that tests put into the loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.laws.draws import Noise, Purpose, Site


def odd_drafter(canvas: Canvas, slots_BS: Tensor) -> Tensor:
    """Logits of a table of 3 tokens that have nothing to do with the model, but depend on the canvas."""
    return ((7 * slots_BS[..., None] + 3 * torch.arange(4) + canvas.ids_BL.sum(1)[:, None, None]) % 5).double()


def fixed_drafter(law: list[float]) -> Any:
    logits_V = torch.tensor([*law, 0.0]).double().log()
    return lambda _canvas, slots_BS: logits_V.expand(*slots_BS.shape, -1)


class ArgmaxDrafts(Noise):
    """The published mistake: drafts are the argmax, but acceptance uses the soft law as if they were drawn from it."""

    def __init__(self, inner: Noise) -> None:
        self.inner = inner

    @property
    def keyed(self) -> bool:
        return self.inner.keyed

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return logp_BSV.argmax(-1) if purpose is Purpose.DRAFT else self.inner.categorical(logp_BSV, site, purpose)

    def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.inner.bernoulli(prob_BS, site, purpose)

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        return self.inner.uniform(site, purpose)

    def select(self, rows: Tensor) -> ArgmaxDrafts:
        return ArgmaxDrafts(self.inner.select(rows))
