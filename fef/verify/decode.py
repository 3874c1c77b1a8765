"""The one place where the suite touches the loop: a decode whose random decisions are given, and its law integrated.

Shapes: N canvases, L canvas length.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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

__all__ = ["GivenOrder", "Wrapper", "decode_with", "law_of_decode", "laws_by_order"]

Wrapper = Callable[[Noise], Noise]


def decode_with(
    noise: Noise,
    denoiser: Callable[..., Tensor],
    ids_NL: Tensor,
    method: str,
    options: Mapping[str, Any],
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Tensor:
    """Fill the masks of `ids_NL` with the decisions of `noise`; int64 [N, L]."""
    network = Network(denoiser)
    plan = make_plan(method, options, network)
    settings = read_settings(temperature, top_p, 0)
    requests = request_rows(network, plan, ids_NL, ids_NL == network.mask_id, settings, noise=noise)
    decode_requests(network, plan, requests)
    return requests.canvas.ids_BL


def law_of_decode(
    denoiser: Callable[..., Tensor],
    start: Sequence[int],
    method: str,
    options: Mapping[str, Any],
    temperature: float = 1.0,
    top_p: float = 1.0,
    *,
    drawn_order: bool = False,
    wrap: Wrapper | None = None,
) -> Law:
    """The law of the texts of a whole decode from one canvas, integrated over every random decision.

    drawn_order: the decode draws its order first; each order is integrated and the laws are mixed. wrap: put around the
    noise, to break a decoder on purpose.
    """
    if drawn_order:
        assert wrap is None, "each order is a wrapper itself"
        return mixed(laws_by_order(denoiser, start, method, options, temperature, top_p))

    def run(noise: Noise, rows: Tensor) -> Tensor:
        ids_NL = torch.tensor([start]).repeat(len(rows), 1)
        return decode_with(wrap(noise) if wrap else noise, denoiser, ids_NL, method, options, temperature, top_p)

    found = enumerate_outcomes(run, 1)
    texts, weights = merge(found.outcome, found.probability_N)
    return {tuple(text): w for text, w in zip(texts.tolist(), weights.tolist(), strict=True)}


def laws_by_order(
    denoiser: Callable[..., Tensor],
    start: Sequence[int],
    method: str,
    options: Mapping[str, Any],
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[Law]:
    """The laws of a decode that draws its order first, one for each order of the masked slots."""
    mask_id = Network(denoiser).mask_id
    slots = [i for i, v in enumerate(start) if v == mask_id]
    given = [i for i, v in enumerate(start) if v != mask_id]
    wraps = [partial(GivenOrder, order=(*order, *given)) for order in itertools.permutations(slots)]
    return [law_of_decode(denoiser, start, method, options, temperature, top_p, wrap=wrap) for wrap in wraps]


class GivenOrder(AroundNoise):
    """Noise whose drawn order is the given one: position `order[0]` comes first."""

    def __init__(self, inner: Noise, order: Sequence[int]) -> None:
        super().__init__(inner)
        self.order = order

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        if purpose is not Purpose.ORDER:
            return super().uniform(site, purpose)
        rank_L = torch.tensor(self.order).argsort()
        return (rank_L[site.position_BS] + 0.5) / len(self.order)
