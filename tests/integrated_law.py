"""The real decoding loop, integrated over all its random decisions: the law of its texts, without sampling error.

Passes and re-masking run through `enumerate_outcomes`; equal canvases are merged between them. Shapes: N canvases, L
canvas length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.inputs import read_settings
from fef.decoding.loop import round_of
from fef.decoding.network import Network
from fef.decoding.order import block_numbers
from fef.decoding.passes import open_passes
from fef.decoding.plan import Plan
from fef.decoding.remask import first_noise, remask
from fef.decoding.requests import Requests, request_rows
from fef.decoding.session import Session
from fef.grammar.compiled import TokenGrammar
from fef.laws.draws import Noise
from fef.laws.integrate import enumerate_outcomes, merge
from fef.laws.noise import Schedule

State = tuple[tuple[int, ...], tuple[bool, ...], tuple[int, ...]]  # ids, pending, noisy
Step = Callable[[Requests], None]


def decode_pass(network: Network, plan: Plan, requests: Requests, k: int = 1, block: int = 0) -> None:
    """One denoising pass in place: draw every pending slot of the block."""
    session = Session(network, plan, requests)
    session.passes.enter(torch.full_like(session.passes.block_B, block))
    session.passes.k_B = torch.full_like(session.passes.k_B, k)
    began_B = torch.ones_like(session.passes.complete_B)
    open_passes(session.passes, session.requests, began_B)
    session.prepare(began_B)
    while bool(session.active_B.any()):
        round_of(session)


def integrated_law(
    denoiser: Callable[..., Tensor],
    length: int,
    *,
    method: str = "fef",
    rank: Sequence[int] | None = None,
    prompt: dict[int, int] | None = None,
    eos_id: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    grammar: TokenGrammar | None = None,
    changes: Mapping[str, Any] | None = None,
    wrap: Callable[[Noise], Noise] = lambda noise: noise,
    **options: Any,
) -> dict[tuple[int, ...], float]:
    """The law over final canvases. rank: decoding order, smallest first, instead of the one that `options` would draw.
    prompt: given tokens. grammar: of the open positions. changes: logit_bias, min_tokens, ignore_eos.
    wrap: put around the noise of every decision."""
    network = Network(denoiser)
    if rank is not None and method not in ("random", "schedule", "eso"):
        options = {"order": "random"} | options
    plan = make_plan(method, options, network)
    network.noise = process = type(network.noise)(**(vars(network.noise) | {"schedule": Schedule(plan.schedule)}))
    start_L = torch.full((length,), network.mask_id)
    open_L = torch.ones(length, dtype=torch.bool)
    for i, v in (prompt or {}).items():
        start_L[i], open_L[i] = v, False
    rank_L = torch.tensor(rank if rank is not None else range(length))
    settings = read_settings(temperature, top_p, 0, **(changes or {}))

    def rows_in(ids_NL: Tensor, noise: Noise | None = None) -> Requests:
        open_NL = open_L.expand_as(ids_NL)
        grammars = [grammar] * len(ids_NL)
        requests = request_rows(network, plan, ids_NL, open_NL, settings, noise=noise, eos_id=eos_id, grammars=grammars)
        requests.canvas.rank_BL = rank_L.expand_as(ids_NL)
        return requests

    numbers = block_numbers(open_L[None], plan.block_length)

    def after(law: dict[State, float], step: Step) -> dict[State, float]:
        states = list(law)
        ids_NL = torch.tensor([s[0] for s in states])
        pending_NL = torch.tensor([s[1] for s in states])
        noisy_NL = torch.tensor([s[2] for s in states])

        def run(noise: Noise, rows: Tensor) -> Tensor:
            requests = rows_in(ids_NL[rows], wrap(noise))
            canvas = requests.canvas
            canvas.pending_BL, canvas.noisy_BL = pending_NL[rows].clone(), noisy_NL[rows].clone()
            step(requests)
            return torch.cat([canvas.ids_BL, canvas.pending_BL.long(), canvas.noisy_BL], 1)

        found = enumerate_outcomes(run, len(states))
        weight_N = torch.tensor([law[s] for s in states], dtype=torch.float64)[found.state_N] * found.probability_N
        merged: dict[State, float] = defaultdict(float)
        outcomes, weights = merge(found.outcome, weight_N)
        for row, weight in zip(outcomes.view(-1, 3, length).tolist(), weights.tolist(), strict=True):
            merged[tuple(row[0]), tuple(bool(p) for p in row[1]), tuple(row[2])] += weight
        return merged

    law: dict[State, float] = {(tuple(start_L.tolist()), tuple(open_L.tolist()), tuple(start_L.tolist())): 1.0}
    for block in range(int(numbers.max()) + 1):

        def inside(canvas: Canvas, block: int = block) -> Tensor:
            return canvas.open_BL & (numbers == block)

        law = after(law, lambda r: first_noise(r.canvas, inside(r.canvas), process, r.noise))
        for k in range(plan.steps, 0, -1):

            def draw(requests: Requests, k: int = k, block: int = block) -> None:
                canvas = requests.canvas
                hidden_BL = canvas.pending_BL & inside(canvas)
                decode_pass(network, plan, requests, k, block)
                canvas.pending_BL |= hidden_BL  # tells `hide` what was drawn

            def hide(requests: Requests, k: int = k) -> None:
                canvas = requests.canvas
                hidden_BL = canvas.pending_BL & inside(canvas)
                canvas.pending_BL &= ~hidden_BL
                if k > 1:
                    remask(canvas, hidden_BL, inside(canvas), plan, process, requests.noise, k)

            def both(requests: Requests, draw: Step = draw, hide: Step = hide) -> None:
                draw(requests)
                hide(requests)

            # merging in between drops the confidences, which only ranking needs
            law = after(law, both) if plan.remask == "low-confidence" else after(after(law, draw), hide)
    result: dict[tuple[int, ...], float] = defaultdict(float)
    for (ids, pending, _), weight in law.items():
        assert not any(pending), "every slot is filled"
        result[ids] += weight
    return result
