"""Influence and the error of committing independently, against sums over whole tables written out by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fef.laws.influence import committed_error, exact_influence, sub_additive, swap_bound
from fef.models.table import TableDenoiser

K, L = 3, 4
EMPTY = torch.full((1, L), K)
ALL = torch.arange(L)[None]


def random_joint(seed: int, sharpness: float = 4.0, length: int = L) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand((K,) * length, generator=generator, dtype=torch.float64) ** sharpness
    return weight / weight.sum()


def parity() -> Tensor:
    joint = torch.zeros(2, 2, 2, dtype=torch.float64)
    for a, b in itertools.product(range(2), repeat=2):
        joint[a, b, a ^ b] = 0.25
    return joint


def at(denoiser: TableDenoiser, slots_BS: Tensor):
    """Logits at the slots of each row's state, for whole copies of the batch."""

    def score(ids_RL: Tensor) -> Tensor:
        slots_RS = slots_BS.clamp(min=0).repeat(len(ids_RL) // len(slots_BS), 1)
        logits_RLV = denoiser(ids_RL)
        return logits_RLV.gather(1, slots_RS[..., None].expand(-1, -1, logits_RLV.shape[-1]))

    return score


def log_law(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1)


def influence_by_hand(joint: Tensor, i: int, j: int) -> float:
    """sum_{a, b} |p(a, b) - p(a) p(b)| / 2: the expected TV between p(b | a) and p(b)."""
    others = [axis for axis in range(joint.dim()) if axis not in (i, j)]
    pair = joint.sum(others) if others else joint
    pair = pair if i < j else pair.T
    return float((pair - pair.sum(1, keepdim=True) * pair.sum(0, keepdim=True)).abs().sum() / 2)


def product_error_by_hand(joint: Tensor) -> float:
    total = 0.0
    for text in itertools.product(range(len(joint)), repeat=joint.dim()):
        product = 1.0
        for axis, value in enumerate(text):
            product *= float(joint.select(axis, value).sum())
        total += abs(float(joint[text]) - product) / 2
    return total


@pytest.mark.parametrize("seed", range(3))
def test_influence_is_the_expected_change_of_a_marginal(seed):
    joint = random_joint(seed)
    found = exact_influence(at(TableDenoiser(joint), ALL), EMPTY, ALL, log_law)
    wanted = [[0.0 if i == j else influence_by_hand(joint, i, j) for j in range(L)] for i in range(L)]
    torch.testing.assert_close(found.matrix_BSS[0], torch.tensor(wanted, dtype=torch.float64))
    assert found.missing_mass_BS.abs().max() < 1e-12


def test_influence_is_symmetric_for_a_joint_and_directed_for_a_network():
    symmetric = exact_influence(at(TableDenoiser(random_joint(0)), ALL), EMPTY, ALL, log_law).matrix_BSS
    directed = exact_influence(at(TableDenoiser.inconsistent(K, L, seed=0), ALL), EMPTY, ALL, log_law).matrix_BSS
    torch.testing.assert_close(symmetric, symmetric.mT)
    assert (directed - directed.mT).abs().max() > 0.05


def test_influence_has_a_direction_at_a_temperature():
    """At temperature 1/2: symmetry belongs to joints, and a tempered conditional has none."""
    joint = torch.tensor([[0.6, 0.0], [0.2, 0.2]], dtype=torch.float64)
    slots = torch.arange(2)[None]
    found = exact_influence(
        at(TableDenoiser(joint), slots), torch.full((1, 2), 2), slots, lambda x: (x / 0.5).log_softmax(-1)
    ).matrix_BSS[0]
    p, q = joint.sum(1), joint.sum(0)

    def colder(x: Tensor) -> Tensor:
        return x**2 / (x**2).sum(-1, keepdim=True)

    forth = (colder(p)[:, None] * (colder(joint / p[:, None]) - colder(q)).abs()).sum() / 2
    back = (colder(q)[:, None] * (colder(joint.T / q[:, None]) - colder(p)).abs()).sum() / 2
    torch.testing.assert_close(found[0, 1], forth)
    torch.testing.assert_close(found[1, 0], back)
    assert back - forth > 0.05


def test_rows_are_independent_absent_slots_count_nothing_and_visible_tokens_condition():
    denoiser = TableDenoiser(random_joint(1))
    ids = torch.tensor([[K, K, K, K], [K, 2, K, K]])
    slots = torch.tensor([[3, 0, 2], [0, 3, -1]])
    both = exact_influence(at(denoiser, slots), ids, slots, log_law).matrix_BSS
    for row, count in ((0, 3), (1, 2)):
        own = slots[row : row + 1, :count]
        alone = exact_influence(at(denoiser, own), ids[row : row + 1], own, log_law).matrix_BSS
        torch.testing.assert_close(both[row, :count, :count], alone[0])
    assert not both[1, 2].any() and not both[1, :, 2].any()
    torch.testing.assert_close(both[1, 0, 1], torch.tensor(_conditioned(random_joint(1)), dtype=torch.float64))


def _conditioned(joint: Tensor) -> float:
    joint = joint[:, 2]
    return influence_by_hand(joint / joint.sum(), 0, 2)


@pytest.mark.parametrize("values", [1, 2])
def test_fewer_values_give_a_lower_bound_within_the_missing_mass(values):
    score = at(TableDenoiser(random_joint(2)), ALL)
    exact = exact_influence(score, EMPTY, ALL, log_law).matrix_BSS
    some = exact_influence(score, EMPTY, ALL, log_law, values)
    below = exact - some.matrix_BSS
    assert (below >= -1e-12).all() and below.max() > 0.01
    assert (below <= some.missing_mass_BS[:, :, None] + 1e-12).all()


def test_pieces_of_calls_change_nothing(monkeypatch):
    from fef.laws import influence

    score = at(TableDenoiser(random_joint(3)), ALL)
    whole = exact_influence(score, EMPTY, ALL, log_law).matrix_BSS
    monkeypatch.setattr(influence, "_CALL_ENTRIES", 1)
    torch.testing.assert_close(exact_influence(score, EMPTY, ALL, log_law).matrix_BSS, whole)


@pytest.mark.parametrize("seed", range(3))
def test_committed_error_is_the_distance_of_the_joint_from_its_product(seed):
    joint = random_joint(seed)
    error = committed_error(at(TableDenoiser(joint), ALL), EMPTY, ALL, log_law)
    assert float(error.tv_B) == pytest.approx(product_error_by_hand(joint), abs=1e-12)
    assert float(error.steps_BS[0, 1]) == pytest.approx(influence_by_hand(joint, 0, 1), abs=1e-12)
    assert float(error.missing_mass_B) < 1e-12


@pytest.mark.parametrize("values", [1, 2])
def test_committed_error_of_some_values_is_a_lower_bound_within_the_missing_mass(values):
    score = at(TableDenoiser(random_joint(4)), ALL)
    exact, some = (committed_error(score, EMPTY, ALL, log_law, v) for v in (None, values))
    missing = float(some.missing_mass_B) + 1e-12
    assert float(some.tv_B) - 1e-12 <= float(exact.tv_B) <= float(some.tv_B) + missing
    assert (some.steps_BS <= exact.steps_BS + 1e-12).all()
    assert (exact.steps_BS <= some.steps_BS + missing).all()


@given(st.integers(0, 10_000), st.floats(0.2, 12), st.permutations(range(L)))
def test_the_bound_holds_for_sub_additive_laws_and_the_exact_sum_for_all(seed, sharpness, order):
    slots = torch.tensor([order])
    score = at(TableDenoiser(random_joint(seed, sharpness)), slots)
    matrix = exact_influence(score, EMPTY, slots, log_law).matrix_BSS
    error = committed_error(score, EMPTY, slots, log_law)
    assert float(error.tv_B) <= float(error.steps_BS.sum()) + 1e-12
    if bool(sub_additive(error.steps_BS, matrix).all()):
        assert float(error.tv_B) <= float(swap_bound(matrix)) + 1e-12


def test_parity_defeats_pairwise_influence():
    slots = torch.arange(3)[None]
    score = at(TableDenoiser(parity()), slots)
    ids = torch.full((1, 3), 2)
    matrix = exact_influence(score, ids, slots, log_law).matrix_BSS
    error = committed_error(score, ids, slots, log_law)
    assert float(swap_bound(matrix)) == pytest.approx(0, abs=1e-12)
    assert float(error.tv_B) == pytest.approx(0.5)
    assert sub_additive(error.steps_BS, matrix).tolist() == [[True, True, False]]
