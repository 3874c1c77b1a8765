"""DDOSP: with the true information profile, the schedule's error is the mean over orders of KL(joint || sampled law)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import fef
from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.inputs import Settings, make_sampling
from fef.decoding.network import Network
from fef.decoding.requests import Requests
from fef.laws.information import optimal_counts, schedule_error
from fef.laws.integrate import enumerate_outcomes, merge
from fef.models.table import TableDenoiser
from fef.verify.tables import random_joint
from tests.integrated_law import decode_pass

K, L = 2, 4
JOINT = random_joint(K, L, seed=3)


def entropy_of(slots: tuple[int, ...]) -> float:
    p = JOINT.numpy().sum(tuple(i for i in range(L) if i not in slots))
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def true_profile() -> tuple[float, ...]:
    """f(k): the mean entropy of a token given k others."""
    found = []
    for k in range(L):
        pairs = [(u, i) for u in itertools.combinations(range(L), k) for i in range(L) if i not in u]
        found.append(sum(entropy_of(tuple(sorted((*u, i)))) - entropy_of(u) for u, i in pairs) / len(pairs))
    return tuple(found)


def denoiser() -> TableDenoiser:
    found = TableDenoiser(JOINT)
    found.information_profile = true_profile()  # type: ignore[attr-defined]
    return found


def divergence(order: tuple[int, ...], steps: int) -> float:
    """KL(joint || law of the real loop), nats, for one order."""
    network = Network(denoiser())
    plan = make_plan("schedule", {"steps": steps}, network)
    rank_L = torch.tensor([order.index(i) for i in range(L)])

    def run(noise, rows):
        ids_BL = torch.full((len(rows), L), K)
        canvas = Canvas.start(ids_BL, ids_BL == K, rank_L.expand_as(ids_BL), None)
        sampling = make_sampling(network, Settings(1.0, 1.0, 0), [], None, len(rows), ids_BL.device)
        decode_pass(network, plan, Requests.start(canvas, noise, sampling))
        return canvas.ids_BL

    found = enumerate_outcomes(run, 1)
    texts, weights = merge(found.outcome, found.probability_N)
    law = {tuple(t): w for t, w in zip(texts.tolist(), weights.tolist(), strict=True)}
    return sum(float(p) * math.log(float(p) / law[s]) for s, p in np.ndenumerate(JOINT.numpy()) if p > 0)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_error_of_the_schedule_is_the_mean_divergence(steps):
    counts = optimal_counts(true_profile(), L, steps)
    mean = np.mean([divergence(order, steps) for order in itertools.permutations(range(L))])
    assert abs(mean - schedule_error(true_profile(), counts)) < 1e-9
    assert (mean > 1e-3) == (steps < L)


def test_the_loop_takes_the_planned_counts():
    ids = torch.full((5, L), K)
    for steps in range(1, L + 1):
        out = fef.decode(denoiser(), ids, method="schedule", steps=steps, temperature=1.0, trace=True)
        assert [int(r.written[0].sum()) for r in out.trace] == optimal_counts(true_profile(), L, steps)
        assert out.certificate.kind == "bound"


def places(record) -> list[list[int]]:
    return [row[done].tolist() for row, done in zip(record.slots, record.written, strict=True)]


@pytest.mark.parametrize(("steps", "blocks"), [(2, [{0, 1}, {2, 3}]), (4, [{0, 1}, {0, 1}, {2, 3}, {2, 3}])])
def test_blocks_are_filled_from_left_to_right_in_either_order_without_a_stated_law(steps, blocks):
    ids = torch.full((40, L), K)
    out = fef.decode(denoiser(), ids, method="schedule", steps=steps, block_length=2, temperature=1.0, trace=True)
    assert [{place for row in places(record) for place in row} for record in out.trace] == blocks
    assert {len(row) for record in out.trace for row in places(record)} == {L // steps}
    assert out.certificate.kind == "none"


def test_fewer_steps_than_blocks_are_refused():
    with pytest.raises(fef.errors.OptionError, match="fewer than the 4 blocks"):
        fef.decode(denoiser(), torch.full((1, L), K), method="schedule", steps=3, block_length=1)
