from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fef.laws.window import chance_of_runs, likely_ends, worthwhile


def of(*holds: float) -> Tensor:
    return torch.tensor([holds], dtype=torch.float64)


def test_chances_of_runs_are_those_of_simulated_rounds():
    holds_BW = torch.tensor([[0.9, 0.5, 0.8], [1.0, 0.0, 1.0]], dtype=torch.float64)
    chance_BX = chance_of_runs(holds_BW)
    assert chance_BX[1].tolist() == [1, 1, 0, 0]
    n = 20_000
    draws_NBW = torch.rand(n, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) < holds_BW
    for length in range(4):
        found_B = draws_NBW[:, :, :length].all(-1).double().mean(0)
        assert (found_B - chance_BX[:, length]).abs().max() < 4 * 0.5 / n**0.5


def test_a_round_ends_where_the_chance_drops():
    """Against simulated rounds: how often the first rejection is at each place."""
    holds_BW = torch.tensor([[0.95, 0.7, 0.9, 0.5, 0.6]], dtype=torch.float64)
    n = 40_000
    holds_NW = torch.rand(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) < holds_BW
    for width in (1, 3, 5):
        accepted_N = holds_NW[:, :width].long().cumprod(1).sum(1)
        ends = accepted_N[accepted_N < width].bincount(minlength=width).argsort(descending=True).tolist()
        found = likely_ends(chance_of_runs(holds_BW), torch.tensor([width]), 2)[0].tolist()
        assert found == [*ends[:2], -1][:2]


def test_likely_ends_by_hand():
    chance_BX = chance_of_runs(of(1.0, 0.9, 0.5, 0.9))  # ends at 1: 0.1, at 2: 0.45, at 3: 0.045
    assert likely_ends(chance_BX, torch.tensor([4]), 2).tolist() == [[2, 1]]
    assert likely_ends(chance_BX, torch.tensor([2]), 2).tolist() == [[1, -1]]
    assert likely_ends(chance_BX, torch.tensor([4]), 0).shape == (1, 0)
    assert likely_ends(chance_BX, torch.tensor([4]), 9).tolist() == [[2, 1, 3, -1]]  # no more places than drafts


@pytest.mark.parametrize("survival", [0.5, 0.8])
def test_worthwhile_drafts_by_hand(survival):
    for holds, count in [
        ([1.0, 1.0, 1.0, 1.0], 4),
        ([0.0, 1.0, 1.0, 1.0], 1),  # the first is reached for certain
        ([0.9, survival / 0.9 - 0.01, 1.0, 1.0], 2),
        ([0.9, survival / 0.9 + 0.01, 0.1, 1.0], 3),
    ]:
        assert int(worthwhile(chance_of_runs(of(*holds)), survival)) == count
        assert int(worthwhile(chance_of_runs(of(*holds[:1])), survival)) == 1
        assert int(worthwhile(chance_of_runs(of(*holds[:0])), survival)) == 0


def test_without_a_bound_every_draft_is_worthwhile():
    assert int(worthwhile(chance_of_runs(of(0.0, 0.1, 0.0)), 0.0)) == 3
