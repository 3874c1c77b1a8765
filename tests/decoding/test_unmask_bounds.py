"""What the rules of several tokens per pass promise, on random joint laws whose marginals are computed by summation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_unmask_rules import candidates, chosen

import fef
from fef.decoders.demask import LowInfluence
from fef.decoders.entropy_bounded import EntropyBound
from fef.decoders.factor import Factor
from fef.decoders.threshold import Threshold
from fef.decoding.unmask import UnmaskRule
from fef.models.table import TableDenoiser
from fef.verify.tables import random_joint

K, L = 3, 4


@st.composite
def joints(draw: st.DrawFn) -> np.ndarray:
    """Joint laws [K, .., K] with one text of almost any weight."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    joint = generator.random((K,) * L) ** draw(st.sampled_from([1, 6]))
    joint = joint / joint.sum() * draw(st.sampled_from([0.02, 0.2, 0.6, 1.0]))
    joint[tuple(generator.integers(0, K, L))] += 1 - joint.sum()
    return joint


def marginals(joint: np.ndarray) -> np.ndarray:
    return np.stack([joint.sum(tuple(j for j in range(L) if j != i)) for i in range(L)])


def committed(rule: UnmaskRule, joint: np.ndarray, **given_: object) -> list[int]:
    laws_BSV = torch.tensor(marginals(joint))[None]
    return sorted(chosen(rule.select(candidates(laws_BSV, [L], [1], **given_)))[0])  # type: ignore[arg-type]


def both_laws(joint: np.ndarray, slots: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The joint law of some slots and the product of their marginals."""
    own = joint.sum(tuple(j for j in range(L) if j not in slots))
    product = np.ones(())
    for i in slots:
        product = np.multiply.outer(product, marginals(joint)[i])
    return own, product


@given(joints(), st.sampled_from([0.3, 0.7, 1.0]))
@settings(max_examples=150)
def test_factor_keeps_the_mode_and_its_bound(joint, factor):
    own, product = both_laws(joint, committed(Factor(factor), joint))
    if own.ndim > 1:
        assert own.argmax() == product.argmax()
    assert abs(own - product).sum() / 2 < factor


def test_a_factor_above_one_may_lose_the_mode():
    """The best token of each of two slots has 0.6, but they never come together; two more are certain: (4 + 1) 0.4 = 2."""
    joint = np.zeros((K,) * L)
    joint[0, 0, 0, 0], joint[0, 1, 0, 0], joint[1, 0, 0, 0] = 0.2, 0.4, 0.4
    slots = committed(Factor(2.1), joint)
    own, product = both_laws(joint, slots)
    assert own.argmax() != product.argmax()


@given(joints(), st.floats(0.3, 0.99))
@settings(max_examples=100)
def test_threshold_keeps_its_bound(joint, threshold):
    slots = committed(Threshold(threshold), joint)
    own, product = both_laws(joint, slots)
    assert abs(own - product).sum() / 2 <= (1 - threshold) * len(slots) + 1e-12


@given(joints(), st.sampled_from([0.0, 0.05, 0.3, 1.0]))
@settings(max_examples=150)
def test_entropy_bound_keeps_its_bound(joint, gamma):
    own, product = both_laws(joint, committed(EntropyBound(gamma), joint))
    positive = own > 0
    assert (own[positive] * np.log(own[positive] / product[positive])).sum() <= gamma + 1e-9


def true_influence(joint: np.ndarray) -> np.ndarray:
    """D_ij: the expected total variation of the law of j when i becomes known."""
    found = np.zeros((L, L))
    for i, j in itertools.permutations(range(L), 2):
        pair = joint.sum(tuple(k for k in range(L) if k not in (i, j)))
        pair = pair if i < j else pair.T
        found[i, j] = abs(pair - np.outer(pair.sum(1), pair.sum(0))).sum() / 2
    return found


@given(joints(), st.sampled_from([0.0, 0.05, 0.2, 0.6]))
@settings(max_examples=150)
def test_demask_keeps_its_bound_where_influences_are_sub_additive(joint, tau):
    influence = true_influence(joint)
    slots = committed(LowInfluence(tau, reads_hidden=False), joint, influence_BSS=torch.tensor(influence)[None])
    order = sorted(slots, key=lambda i: (-marginals(joint)[i].max(), i))
    for n in range(2, len(order)):
        before, new = order[:n], order[n]
        own = joint.sum(tuple(k for k in range(L) if k not in [*before, new]))
        own = np.moveaxis(own, sorted([*before, new]).index(new), -1)
        step = abs(own - own.sum(-1, keepdims=True) * marginals(joint)[new]).sum() / 2
        assume(step <= sum(influence[i, new] for i in before) + 1e-12)
    own, product = both_laws(joint, slots)
    assert abs(own - product).sum() / 2 <= tau + 1e-12


def test_parity_defeats_pairwise_influences():
    joint = np.zeros((K,) * L)
    for a, b in itertools.product(range(2), repeat=2):
        joint[a, b, a ^ b, 0] = 0.25
    assert true_influence(joint).max() < 1e-12
    slots = committed(
        LowInfluence(0.0, reads_hidden=False), joint, influence_BSS=torch.tensor(true_influence(joint))[None]
    )
    own, product = both_laws(joint, slots)
    assert abs(own - product).sum() / 2 > 0.4


@pytest.mark.parametrize("values", [1, 2, K])
@pytest.mark.parametrize("tau", [0.05, 0.3])
def test_probing_some_values_never_underestimates(values, tau):
    """What the loop commits in its first round, with the influence of the values that were not tried unknown."""
    for seed in range(20):
        joint = random_joint(K, L, seed)
        out = fef.decode(
            TableDenoiser(joint),
            torch.full((1, L), K),
            method="demask",
            influence="probe",
            probe_values=values,
            tau=tau,
            temperature=1.0,
            trace=True,
        )
        slots = out.trace[0].slots[0][out.trace[0].written[0]].tolist()
        influence = true_influence(joint.numpy())
        order = sorted(slots, key=lambda i: (-marginals(joint.numpy())[i].max(), i))
        assert sum(influence[i, j] for n, j in enumerate(order) for i in order[:n]) <= tau + 1e-12
