"""Denoising passes with re-masking that is blind to values: the laws of `origin` and of ReMDM's posterior, to 1e-9."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch

import fef
from fef.decoders.remdm import Remdm
from fef.decoding.canvas import Canvas
from fef.decoding.plan import Plan
from fef.decoding.remask import remask
from fef.laws.draws import KeyedNoise
from fef.laws.noise import AbsorbingNoise, Schedule
from fef.models.table import TableDenoiser
from fef.verify.reference import Table, denoised, table_of
from fef.verify.tables import random_joint
from fef.verify.texts import Law, State, distance, law_of_joint, sharpened
from tests.integrated_law import integrated_law

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
    return denoised(table, state, [range(L)], 1, sharpened())


def passes(
    table: Table,
    draw: Callable[[Table, State], Law],
    steps: int,
    *,
    eta: float = 0.0,
    schedule: str = "linear",
    rates: Callable[[float, float], tuple[float, float, float]] | None = None,
) -> Law:
    """Draw x_0, then each site of x_s on its own: ReMDM's posterior, the reverse transition for eta = 0. rates: alpha_t,
    alpha_s and sigma of another strategy for times t and s."""
    law: Law = {EMPTY: 1.0}
    for k in range(steps, 0, -1):
        keep_t, keep_s = KEEP[schedule](k / steps), KEEP[schedule]((k - 1) / steps)
        sigma = eta * min(1.0, (1 - keep_s) / max(keep_t, 1e-300))
        if rates is not None:
            keep_t, keep_s, sigma = rates(k / steps, (k - 1) / steps)
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


def capped(eta: float) -> Callable[[float, float], tuple[float, float, float]]:
    """ "remdm-cap" of github.com/kuleshov-group/remdm, diffusion.py."""
    return lambda t, s: (1 - t, 1 - s, min(eta, s / (1 - t)) if t < 1 else eta)


def looped(eta: float, t_on: float, t_off: float, alpha: float) -> Callable[[float, float], tuple[float, float, float]]:
    """ "remdm-loop" of the same: reveal up to alpha, hide and reveal at rate eta, reveal the rest."""

    def rates(t: float, s: float) -> tuple[float, float, float]:
        if t > t_on:
            return (1 - t) * alpha / (1 - t_on), (1 - s) * alpha / (1 - t_on), 0.0
        if t <= t_off:
            return 1 - t * (1 - alpha) / t_off, 1 - s * (1 - alpha) / t_off, 0.0
        return alpha, alpha, eta

    return rates


LOOP = {"t_on": 0.8, "t_off": 0.3, "alpha_on": 0.6}


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"strategy": "cap", "eta": 0.3}, capped(0.3)),
        ({"strategy": "cap"}, capped(0.04)),
        ({"strategy": "loop", "eta": 0.5, **LOOP}, looped(0.5, 0.8, 0.3, 0.6)),
        ({"strategy": "loop", "eta": 0.1, **LOOP, "t_off": 0.5}, looped(0.1, 0.8, 0.5, 0.6)),
    ],
)
def test_other_strategies_of_remdm_have_the_rates_of_its_code(options, rates):
    law = integrated_law(INCONSISTENT, L, method="remdm", steps=4, **options)
    table = table_of(INCONSISTENT, K, L)
    assert distance(law, passes(table, product_pass, 4, rates=rates)) < EXACT
    assert distance(law, passes(table, product_pass, 4)) > 1e-3


def test_remdm_conf_hides_in_proportion_to_softmax_of_doubt():
    """alpha_t 0.4, alpha_s 0.6: at most sigma_max = 1, spread over the three tokens that were shown."""
    drawn_at = [0.9, 0.5, 0.2]
    drawn_BL = torch.tensor([[False, True, False, False, True]])
    logp_BL = torch.tensor([[0.9, 0.3, 0.5, 0.2, 0.7]]).double().log()
    found = Remdm("conf", 0.0).shown(lambda t: 1 - t, 0.6, 0.4, drawn_BL, ~drawn_BL, logp_BL)[0].tolist()
    weights = [math.exp(-p) for p in drawn_at]
    hidden = [weight / sum(weights) for weight in weights]
    assert [*found[0:4:2], found[3]] == pytest.approx([1 - sigma for sigma in hidden])
    assert hidden[2] > hidden[1] > hidden[0]
    assert found[1] == found[4] == pytest.approx((0.6 - 0.4) / (1 - 0.4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "conf", "eta": 0.1}, "has no rate"),
        ({"strategy": "cap", "t_on": 0.5}, "only strategy"),
        ({"strategy": "loop", "schedule": "cosine"}, "schedule of its own"),
        ({"strategy": "loop", "t_on": 0.2, "t_off": 0.4}, "0 < t_off <= t_on < 1"),
        ({"strategy": "loop", "eta": 0.2}, "can reveal"),
    ],
)
def test_strategies_of_remdm_refuse_what_they_do_not_read(options, words):
    with pytest.raises(fef.OptionError, match=words):
        fef.certify(INCONSISTENT, method="remdm", **options)


def test_remdm_conf_is_told_from_the_blind_ones():
    told = {
        strategy: any("not value-free" in r for r in fef.certify(CONSISTENT, method="remdm", strategy=strategy).reasons)
        for strategy in ("rescale", "cap", "conf", "loop")
    }
    assert told == {"rescale": False, "cap": False, "conf": True, "loop": False}


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
    plan = Plan("fef", steps=steps, schedule=schedule, remask="remdm", remdm=Remdm("rescale", eta))
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
