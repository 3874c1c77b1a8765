"""The error of committed sets: closed forms, theorems, and the law that defeats pairwise influences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.verify.bounds import Committed, influence
from fef.verify.tables import parity, random_joint

JOINTS = st.builds(
    lambda seed, power: random_joint(2, 3, seed, power).numpy(),
    st.integers(0, 10**6),
    st.sampled_from([1.0, 3.0, 30.0]),
)


def committed(joint: np.ndarray, slots: tuple[int, ...] = (0, 1, 2)) -> Committed:
    return Committed.of(joint, (joint.shape[0],) * joint.ndim, slots)


def test_parity_defeats_pairwise_influences():
    law = committed(parity().joint.numpy())
    assert [influence(law.law, (i,), j) for j in range(3) for i in range(j)] == [0, 0, 0]
    assert law.tv() == pytest.approx(0.5)
    assert law.kl() == pytest.approx(np.log(2))
    assert not law.sub_additive()
    assert committed(parity().joint.numpy(), (0, 1)).tv() == 0


def test_a_state_conditions_the_law_and_confidence_orders_the_slots():
    joint = random_joint(3, 3).numpy()
    found = Committed.of(joint, (3, 1, 3), [0, 2])
    given_one = joint[:, 1] / joint[:, 1].sum()
    first, second = found.slots
    assert given_one.sum(1 if first == 0 else 0).max() >= given_one.sum(1 if second == 0 else 0).max()
    np.testing.assert_allclose(found.law, given_one if first == 0 else given_one.T)


def test_influence_by_hand():
    """Two equal bits: knowing one moves the other from (1/2, 1/2) to a point, a total variation of 1/2."""
    assert influence(np.eye(2) / 2, (0,), 1) == 0.5


@given(JOINTS)
def test_the_swap_bound(joint):
    """TV(joint, product) <= sum over slots of the influence of all before; of pairs, where they are sub-additive."""
    law = committed(joint)
    swaps = sum(influence(law.law, tuple(range(j)), j) for j in range(1, 3))
    pairs = sum(influence(law.law, (i,), j) for j in range(3) for i in range(j))
    assert law.tv() <= swaps + 1e-12
    assert not law.sub_additive() or law.tv() <= pairs + 1e-9


@given(JOINTS)
def test_entropies_bound_the_kl(joint):
    law = committed(joint)
    entropies = [-float((p * np.log(p)).sum()) for p in law.marginals()]
    assert -1e-12 <= law.kl() <= sum(entropies) - max(entropies) + 1e-9


@given(JOINTS)
def test_confident_products_have_the_mode_of_the_joint(joint):
    assert committed(joint).modes_agree()
