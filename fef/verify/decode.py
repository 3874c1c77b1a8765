"""The one place where the suite touches the loop: a decode whose random decisions are given, and its law integrated.

Shapes: N canvases, L canvas length.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fef.decoders import make_plan
from fef.decoding.inputs import read_settings
from fef.decoding.loop import decode_requests
from fef.decoding.network import Network
from fef.decoding.requests import request_rows
from fef.laws.draws import Noise, Purpose, Site
from fef.laws.integrate import AroundNoise, enumerate_outcomes, merge
from fef.verify.texts import Law, mixed

__all__ = ["Wrapper", "law_of_decode", "laws_by_order", "unchanged"]

Wrapper = Callable[[Noise], Noise]


def unchanged(noise: Noise) -> Noise:
    return noise


def law_of_decode(*asked: Any, **more: Any) -> Law:
    """The law of the texts of a whole decode from one canvas, integrated over every random decision. Arguments as of
    `laws_by_order`, whose laws are mixed."""
    return mixed(laws_by_order(*asked, **more))


def laws_by_order(
    denoiser: Callable[..., Tensor],
    start: Sequence[int],
    method: str,
    options: Mapping[str, Any],
    temperature: float = 1.0,
    top_p: float = 1.0,
    wrap: Wrapper = unchanged,
) -> list[Law]:
    """The laws of a decode that draws its order first, one for each order of the masked slots; of any other decode its only
    one. wrap: put around the noise, to break a decoder on purpose."""
    network = Network(denoiser)
    plan, settings = make_plan(method, options, network), read_settings(temperature, top_p, 0)
    masked = [v == network.mask_id for v in start]
    order_asked = set[Purpose]()

    def law_in(order: Sequence[int]) -> Law:
        def run(noise: Noise, rows: Tensor) -> Tensor:
            given = GivenOrder(wrap(noise), order, order_asked)
            ids_NL = torch.tensor([start]).repeat(len(rows), 1)
            requests = request_rows(network, plan, ids_NL, ids_NL == network.mask_id, settings, noise=given)
            decode_requests(network, plan, requests)
            return requests.canvas.ids_BL

        found = enumerate_outcomes(run, 1)
        texts, weights = merge(found.outcome, found.probability_N)
        return {tuple(text): w for text, w in zip(texts.tolist(), weights.tolist(), strict=True)}

    others = [i for i, open_ in enumerate(masked) if not open_]
    first, *further = itertools.permutations(i for i, open_ in enumerate(masked) if open_)
    return [law_in((*first, *others)), *(law_in((*order, *others)) for order in further if order_asked)]


class GivenOrder(AroundNoise):
    """Noise whose drawn order is the given one: position `order[0]` comes first. asked: notes that an order was drawn."""

    def __init__(self, inner: Noise, order: Sequence[int], asked: set[Purpose]) -> None:
        super().__init__(inner)
        self.order, self.asked = order, asked

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        if purpose is not Purpose.ORDER:
            return super().uniform(site, purpose)
        self.asked.add(purpose)
        rank_L = torch.tensor(self.order).argsort()
        return (rank_L[site.position_BS] + 0.5) / len(self.order)
