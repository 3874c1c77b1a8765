"""The real decoding loop, integrated over all its random decisions: the law of its texts, without sampling error.

Passes and re-masking run through `enumerate_outcomes`; equal canvases are merged between them. Shapes: N canvases, L
canvas length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fef.api import make_sampling
from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.loop import decode_pass
from fef.decoding.network import Network
from fef.decoding.order import block_mask, block_numbers
from fef.decoding.remask import first_noise, remask
from fef.decoding.requests import Requests
from fef.laws.draws import Noise
from fef.laws.integrate import enumerate_outcomes, merge
from fef.laws.noise import Schedule
from fef.laws.pipeline import Sampling

State = tuple[tuple[int, ...], tuple[bool, ...], tuple[int, ...]]  # ids, pending, noisy
Step = Callable[[Canvas, Noise, Sampling], None]


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
    wrap: Callable[[Noise], Noise] = lambda noise: noise,
    **options: Any,
) -> dict[tuple[int, ...], float]:
    """The law over final canvases. rank: decoding order, smallest first, instead of the one that `options` would draw.
    prompt: given tokens. wrap: put around the noise of every decision."""
    network = Network(denoiser)
    if rank is not None and method not in ("random", "schedule"):
        options = {"order": "random"} | options
    plan = make_plan(method, options, network)
    network.noise = process = type(network.noise)(**(vars(network.noise) | {"schedule": Schedule(plan.schedule)}))
    start_L = torch.full((length,), network.mask_id)
    open_L = torch.ones(length, dtype=torch.bool)
    for i, v in (prompt or {}).items():
        start_L[i], open_L[i] = v, False
    rank_L = torch.tensor(rank if rank is not None else range(length))
    numbers = block_numbers(fresh_canvas(start_L[None], open_L, rank_L, open_L[None]), plan.block_length)

    def after(law: dict[State, float], step: Step) -> dict[State, float]:
        states = list(law)
        ids_NL = torch.tensor([s[0] for s in states])
        pending_NL = torch.tensor([s[1] for s in states])
        noisy_NL = torch.tensor([s[2] for s in states])

        def run(noise: Noise, rows: Tensor) -> Tensor:
            canvas = fresh_canvas(ids_NL[rows], open_L, rank_L, pending_NL[rows])
            canvas.noisy_BL = noisy_NL[rows].clone()
            sampling = make_sampling(network, temperature, top_p, 0, [], eos_id, len(rows), torch.device("cpu"))
            step(canvas, wrap(noise), sampling)
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
            return block_mask(canvas, numbers.expand_as(canvas.ids_BL), block)

        law = after(law, lambda c, noise, _s: first_noise(c, inside(c), process, noise))
        for k in range(plan.steps, 0, -1):

            def draw(canvas: Canvas, noise: Noise, sampling: Sampling, k: int = k, block: int = block) -> None:
                hidden_BL = canvas.pending_BL & inside(canvas)
                decode_pass(network, plan, Requests.start(canvas, noise, sampling), k, block)
                canvas.pending_BL |= hidden_BL  # tells `hide` what was drawn

            def hide(canvas: Canvas, noise: Noise, _sampling: Sampling, k: int = k) -> None:
                hidden_BL = canvas.pending_BL & inside(canvas)
                canvas.pending_BL &= ~hidden_BL
                if k > 1:
                    remask(canvas, hidden_BL, inside(canvas), plan, process, noise, k)

            def both(canvas: Canvas, noise: Noise, sampling: Sampling, draw=draw, hide=hide) -> None:  # type: ignore[no-untyped-def]
                draw(canvas, noise, sampling)
                hide(canvas, noise, sampling)

            # merging in between drops the confidences, which only ranking needs
            law = after(law, both) if plan.remask == "low-confidence" else after(after(law, draw), hide)
    result: dict[tuple[int, ...], float] = defaultdict(float)
    for (ids, pending, _), weight in law.items():
        assert not any(pending), "every slot is filled"
        result[ids] += weight
    return result


def fresh_canvas(ids_BL: Tensor, open_L: Tensor, rank_L: Tensor, pending_BL: Tensor) -> Canvas:
    open_BL = open_L.expand_as(ids_BL)
    canvas = Canvas.start(ids_BL, open_BL, rank_L.expand_as(ids_BL), None)
    canvas.pending_BL = pending_BL.clone()
    return canvas
