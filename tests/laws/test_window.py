from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fef.laws.accept import Accepted, agreement
from fef.laws.growth import best_tree
from fef.laws.tree import Tree, chain_tree, given_chain
from fef.laws.window import ends, group_starts, next_drafts


def of(*holds: float) -> Tensor:
    return torch.tensor([holds], dtype=torch.float64)


def chain_of(holds_BW: Tensor, width: int, survival: float = 0.0) -> Tree:
    return chain_tree(holds_BW, torch.full((len(holds_BW),), width), survival)


def test_chances_of_states_are_those_of_simulated_rounds():
    holds_BW = torch.tensor([[0.9, 0.5, 0.8], [1.0, 0.0, 1.0]], dtype=torch.float64)
    chance_BX = chain_of(holds_BW, 3).chance_BX
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
        likely = accepted_N[accepted_N < width].bincount(minlength=width).argsort(descending=True).tolist()
        found = group_starts(chain_of(holds_BW, width), 2)[0].tolist()
        assert found == [width, *[*likely[:2], -1][:2]]


def test_a_round_on_a_tree_ends_where_no_child_is_drawn():
    """Against simulated rounds, in which each slot draws one of its candidates or none."""
    holds_DC = torch.tensor([[0.5, 0.3], [0.6, 0.2], [0.7, 0.1]], dtype=torch.float64)
    tree = best_tree(holds_DC[None], torch.tensor([3]), 6)
    n = 20_000
    trees = best_tree(holds_DC.expand(n, -1, -1), torch.full((n,), 3), 6)
    u_ND = torch.rand(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    below_NDC = u_ND[:, :3, None] < holds_DC.cumsum(1)
    drawn_ND = torch.nn.functional.pad(2 - below_NDC.sum(-1), (0, 1), value=2)
    path = agreement(drawn_ND.gather(1, trees.depth_BX), trees, trees.candidate_BW, torch.full((n,), 9))
    counted = path.path_BT.gather(1, path.accepted_B[:, None])[:, 0].bincount(minlength=7).double()
    assert ends(tree)[0].sum() == pytest.approx(1)
    assert (counted / n - ends(tree)[0]).abs().max() < 4 * 0.5 / n**0.5
    # the stem is 0, 0, 0; the others by their chance to end
    starts = group_starts(tree, 3)[0].tolist()
    chance_X = ends(tree)[0].tolist()
    assert tree.depth_BX[0, starts[0]] == 3
    assert starts[1:] == sorted(set(range(7)) - {starts[0]}, key=lambda s: -chance_X[s])[:3]


def test_likely_ends_by_hand():
    holds = of(1.0, 0.9, 0.5, 0.9)  # ends at 1: 0.1, at 2: 0.45, at 3: 0.045
    assert group_starts(chain_of(holds, 4), 2).tolist() == [[4, 2, 1]]
    assert group_starts(chain_of(holds, 2), 2).tolist() == [[2, 1, -1]]
    assert group_starts(chain_of(holds, 4), 0).tolist() == [[4]]
    assert group_starts(chain_of(holds, 4), 9).tolist() == [[4, 2, 1, 3, -1]]  # no more places than drafts


@pytest.mark.parametrize("survival", [0.5, 0.8])
def test_worthwhile_drafts_by_hand(survival):
    for holds, count in [
        ([1.0, 1.0, 1.0, 1.0], 4),
        ([0.0, 1.0, 1.0, 1.0], 1),  # the first is reached for certain
        ([0.9, survival / 0.9 - 0.01, 1.0, 1.0], 2),
        ([0.9, survival / 0.9 + 0.01, 0.1, 1.0], 3),
    ]:
        for width, expected in ((4, count), (1, 1), (0, 0)):
            assert int(chain_of(of(*holds), width, survival).nodes_B) == expected


def test_without_a_bound_every_draft_is_worthwhile():
    assert int(chain_of(of(0.0, 0.1, 0.0), 3).nodes_B) == 3


def taken(tree: Tree, states: list[int], commit: int) -> Accepted:
    """A round that took this path."""
    path_BT = torch.tensor([states + [0] * (tree.depths + 1 - len(states))])
    return Accepted(torch.tensor([len(states) - 1]), torch.tensor([commit]), path_BT, path_BT)


def test_next_drafts_of_a_chain_by_hand():
    """Queries: five targets, then three more members of each of two groups, behind states 4 and 1."""
    tree, start = given_chain(torch.tensor([4]), 4), torch.tensor([[4, 1]])

    def found(accepted: int, commit: int) -> tuple[list[int], int]:
        source, count = next_drafts(tree, start, 4, taken(tree, list(range(accepted + 1)), commit), 4)
        return source[0].tolist()[: int(count)], int(count)

    assert found(4, 5) == ([5, 6, 7], 3)
    assert found(4, 4) == ([4, 5, 6, 7], 4)  # nothing was drawn behind the window: the group begins with its target
    assert found(1, 2) == ([8, 9, 10], 3)
    assert found(3, 4) == ([10], 1)
    assert found(0, 1) == ([1, 2, 3], 3)  # no group: targets that a wrong draft misled
    tree = given_chain(torch.tensor([0]), 4)
    assert next_drafts(tree, torch.tensor([[0, -1]]), 1, taken(tree, [0], 1), 4)[1].tolist() == [0]


def test_next_drafts_of_a_tree_come_from_the_last_group_on_the_path():
    holds = torch.tensor([[[0.6, 0.4], [0.7, 0.3]]], dtype=torch.float64)
    tree = best_tree(holds, torch.tensor([2]), 4)  # states 1: (0), 2: (0, 0), 3: (1), 4: (1, 0)
    start = torch.tensor([[2, 0, 3]])

    def found(states: list[int]) -> list[int]:
        source, count = next_drafts(tree, start, 3, taken(tree, states, len(states)), 3)
        return source[0].tolist()[: int(count)]

    # five targets, then two members of each group
    assert found([0, 1, 2]) == [5, 6]
    assert found([0]) == [7, 8]
    assert found([0, 1]) == [8]  # of the root's group, behind the slot that is committed
    assert found([0, 3]) == [9, 10]
    assert found([0, 3, 4]) == [10]  # state 4 lies two behind the root, whose group does not reach
