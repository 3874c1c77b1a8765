"""Denoising passes with re-masking that is blind to values: the laws of `origin` and of ReMDM's posterior, to 1e-9."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fef.decoding.canvas import Canvas
from fef.decoding.plan import Plan
from fef.decoding.remask import remask
from fef.laws.draws import KeyedNoise
from fef.laws.noise import AbsorbingNoise, Schedule
from fef.models.table import TableDenoiser
from fef.verify.integrate import integrated_law
from fef.verify.reference import Law, State, Table, chain_pass, denoised, distance, law_of_joint, sharpened, table_of
from fef.verify.tables import random_joint

K, L = 3, 3
EMPTY = (K,) * L
INCONSISTENT = TableDenoiser.inconsistent(K, L, seed=0)
CONSISTENT = TableDenoiser(random_joint(K, L))
KEEP: dict[str, Callable[[float], float]] = {
    "linear": lambda t: 1 - t,
    "cosine": lambda t: 1 - math.cos(math.pi / 2 * (1 - t)),
}
EXACT = 1e-9


def product_pass(table: Table, state: State) -> Law:
    """Every mask from its own marginal."""
    choices = [range(K) if v == K else [v] for v in state]
    return {
        text: math.prod(float(table.at[state][i][v]) for i, v in enumerate(text) if state[i] == K)
        for text in itertools.product(*choices)
    }


def chain(table: Table, state: State) -> Law:
    return chain_pass(table, {state: 1.0}, range(L), sharpened())


def passes(
    table: Table, draw: Callable[[Table, State], Law], steps: int, *, eta: float = 0.0, schedule: str = "linear"
) -> Law:
    """Draw x_0, then each site of x_s on its own: ReMDM's posterior, the reverse transition for eta = 0."""
    law: Law = {EMPTY: 1.0}
    for k in range(steps, 0, -1):
        keep_t, keep_s = KEEP[schedule](k / steps), KEEP[schedule]((k - 1) / steps)
        sigma = eta * min(1.0, (1 - keep_s) / max(keep_t, 1e-300))
        reveal = (keep_s - (1 - sigma) * keep_t) / (1 - keep_t)
        after: Law = defaultdict(float)
        for state, weight in law.items():
            shown = [reveal if v == K else 1 - sigma for v in state] if k > 1 else [1.0] * L
            for text, p in draw(table, state).items():
                for seen in itertools.product([True, False], repeat=L):
                    share = np.prod([s if on else 1 - s for s, on in zip(shown, seen, strict=True)])
                    if share > 1e-15:
                        after[tuple(v if on else K for v, on in zip(text, seen, strict=True))] += weight * p * share
        law = after
    return law


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_origin(steps, schedule):
    law = integrated_law(INCONSISTENT, L, method="origin", steps=steps, schedule=schedule)
    expected = passes(table_of(INCONSISTENT, K, L), product_pass, steps, schedule=schedule)
    assert distance(law, expected) < EXACT


def test_origin_with_more_steps_comes_closer_to_the_joint():
    joint = law_of_joint(random_joint(K, L))
    far, near = (distance(integrated_law(CONSISTENT, L, method="origin", steps=n), joint) for n in (1, 3))
    assert near < far - 0.01


@pytest.mark.parametrize(("eta", "schedule"), [(0.2, "linear"), (1.0, "linear"), (0.5, "cosine")])
@pytest.mark.parametrize("steps", [2, 3])
def test_remdm_on_factorized_draws(eta, schedule, steps):
    law = integrated_law(INCONSISTENT, L, method="remdm", steps=steps, eta=eta, schedule=schedule)
    expected = passes(table_of(INCONSISTENT, K, L), product_pass, steps, eta=eta, schedule=schedule)
    assert distance(law, expected) < EXACT


FEF = {"accept": "rejection", "window": 2, "remask": "remdm"}


@pytest.mark.parametrize(("eta", "schedule"), [(0.2, "linear"), (1.0, "linear"), (0.5, "cosine")])
@pytest.mark.parametrize("steps", [2, 3])
def test_remdm_inside_fef(eta, schedule, steps):
    law = integrated_law(INCONSISTENT, L, steps=steps, eta=eta, schedule=schedule, **FEF)
    expected = passes(table_of(INCONSISTENT, K, L), chain, steps, eta=eta, schedule=schedule)
    assert distance(law, expected) < EXACT
    if steps > 2:  # two passes hide nothing that was shown before
        plain = passes(table_of(INCONSISTENT, K, L), chain, steps, schedule=schedule)
        assert distance(expected, plain) > 1e-3


@pytest.mark.parametrize("eta", [0.2, 1.0])
def test_remdm_inside_fef_on_a_consistent_network_is_the_joint(eta):
    law = integrated_law(CONSISTENT, L, steps=3, eta=eta, **FEF)
    assert distance(law, law_of_joint(random_joint(K, L))) < EXACT


def test_eta_zero_is_the_reverse_transition():
    law = integrated_law(INCONSISTENT, L, steps=3, eta=0.0, **FEF)
    expected = denoised(table_of(INCONSISTENT, K, L), EMPTY, [range(L)], 3, sharpened())
    assert distance(law, expected) < EXACT


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_share_of_shown_tokens_is_alpha(eta, schedule):
    """q(x_s | x_0) stays: sites shown with probability alpha_t are shown with alpha_s after it. 200,000 sites a step."""
    size, steps = 200_000, 5
    keep = KEEP[schedule]
    process = AbsorbingNoise(K, Schedule(schedule))
    plan = Plan("fef", steps=steps, schedule=schedule, remask="remdm", eta=eta)
    noise = KeyedNoise(torch.tensor([3]))
    open_BL = torch.ones(1, size, dtype=torch.bool)
    canvas = Canvas.start(torch.full((1, size), K), open_BL, torch.arange(size)[None], None)
    for k in range(steps, 1, -1):
        drawn_BL = canvas.pending_BL.clone()
        canvas.ids_BL[drawn_BL], canvas.pending_BL[drawn_BL] = 0, False
        remask(canvas, drawn_BL, open_BL, plan, process, noise, k)
        alpha = keep((k - 1) / steps)
        share = 1 - float(canvas.pending_BL.double().mean())
        assert abs(share - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / size)
        assert torch.equal(canvas.ids_BL == K, canvas.pending_BL)
