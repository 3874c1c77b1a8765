"""Trees of drafts against brute force, and against plain loops over nodes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fef.laws.growth import best_tree
from fef.laws.tree import MOST_NODES, Tree, along, chances, given_chain, path_bits, path_states, stem, walk

Path = tuple[int, ...]  # candidates from the root


def falling(draws: list[list[float]]) -> list[list[float]]:
    return [sorted(row, reverse=True) for row in draws]


# few different numbers, so that there are ties, and chances of 0 and 1
CHANCES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.7, 1.0])
laws = st.tuples(st.integers(1, 4), st.integers(1, 3)).flatmap(
    lambda size: st.lists(
        st.lists(CHANCES, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
    ).map(falling)
)


def paths_of(tree: Tree, row: int = 0) -> list[Path]:
    """The candidates on the path to each node that is there, by a loop."""
    found: list[Path] = []
    for n in range(int(tree.nodes_B[row])):
        assert bool(tree.there_BW[row, n]), "those that are there come first"
        parent = int(tree.parent_BW[row, n])
        assert parent <= n, "a node stands behind its parent"
        found.append((*(found[parent - 1] if parent else ()), int(tree.candidate_BW[row, n])))
    return found


def joint(holds: list[list[float]], path: Path) -> float:
    return math.prod(holds[depth][candidate] for depth, candidate in enumerate(path))


def every_path(holds: list[list[float]], limit: int, survival: float) -> list[Path]:
    """All nodes that are worth their place."""
    found = []
    for depth in range(1, min(limit, len(holds)) + 1):
        for path in itertools.product(range(len(holds[0])), repeat=depth):
            worth = all(joint(holds, path[:d]) >= survival for d in range(depth))
            possible = all(c == 0 or holds[d][c] > 0 for d, c in enumerate(path))
            if worth and possible:
                found.append(path)
    return found


@settings(max_examples=200, deadline=None)
@given(holds=laws, nodes=st.integers(1, 12), limit=st.integers(0, 5), survival=st.sampled_from([0.0, 0.2, 0.5]))
def test_the_nodes_are_the_best_of_all_and_closed_under_parents(holds, nodes, limit, survival):
    tree = best_tree(torch.tensor([holds], dtype=torch.float64), torch.tensor([limit]), nodes, survival)
    paths, all_paths = paths_of(tree), every_path(holds, limit, survival)
    assert len(set(paths)) == len(paths) == min(nodes if len(holds[0]) > 1 else min(nodes, len(holds)), len(all_paths))
    assert {path[:-1] for path in paths} <= {(), *paths}
    best = sorted((joint(holds, path) for path in all_paths), reverse=True)[: len(paths)]
    assert [joint(holds, path) for path in paths] == pytest.approx(best)
    assert tree.chance_BX[0, 1 : len(paths) + 1].tolist() == pytest.approx(best)
    assert tree.depth_BX[0, 1 : len(paths) + 1].tolist() == [len(path) for path in paths]
    assert tree.chance_BX[0, len(paths) + 1 :].tolist() == [0.0] * (tree.there_BW.shape[1] - len(paths))


@settings(max_examples=100, deadline=None)
@given(holds=laws, nodes=st.integers(1, 12), data=st.data())
def test_paths_are_those_of_a_loop(holds, nodes, data):
    tree = best_tree(torch.tensor([holds], dtype=torch.float64), torch.tensor([len(holds)]), nodes)
    paths = [(), *paths_of(tree)]
    nodes = tree.there_BW.shape[1]
    marked = torch.tensor([data.draw(st.lists(st.booleans(), min_size=nodes, max_size=nodes))])
    on_stem, bits = stem(tree)[0].tolist(), path_bits(tree, marked)[0].tolist()
    values = torch.tensor([data.draw(st.lists(st.integers(-9, 9), min_size=nodes + 1, max_size=nodes + 1))])
    least = along(tree, values, torch.minimum)[0].tolist()
    for state, path in enumerate(paths):
        ancestors = [paths.index(path[:depth]) for depth in range(len(path) + 1)]
        assert on_stem[state] == (not any(path))
        assert bits[state] == sum(1 << (a - 1) for a in ancestors if a and marked[0, a - 1])
        assert least[state] == min(values[0, a].item() for a in ancestors)


@settings(max_examples=100, deadline=None)
@given(holds=laws, nodes=st.integers(1, 12), data=st.data())
def test_a_round_walks_to_the_children_that_hold_what_was_drawn(holds, nodes, data):
    tree = best_tree(torch.tensor([holds], dtype=torch.float64), torch.tensor([len(holds)]), nodes)
    paths = [(), *paths_of(tree)]
    size = tree.there_BW.shape[1] + 1
    drawn = data.draw(st.lists(st.integers(0, len(holds[0])), min_size=size, max_size=size))
    reached = walk(tree, tree.candidate_BW, torch.tensor([drawn]))  # a node holds the number of its candidate
    expected: Path = ()
    while (*expected, drawn[paths.index(expected)]) in paths:
        expected = (*expected, drawn[paths.index(expected)])
    states = [paths.index(expected[:depth]) for depth in range(len(expected) + 1)]
    assert reached[0].nonzero()[:, 0].tolist() == sorted(states)
    assert path_states(tree, reached)[0].tolist() == states + [0] * (tree.depths + 1 - len(states))


@settings(max_examples=50, deadline=None)
@given(
    holds=st.lists(CHANCES, min_size=1, max_size=20),
    limit=st.integers(0, 21),
    survival=st.sampled_from([0.0, 0.2, 0.5]),
)
def test_a_chain_is_the_tree_of_one_candidate(holds, limit, survival):
    """A second candidate that is never drawn makes no node."""
    first = torch.tensor([holds], dtype=torch.float64)[..., None]
    both = torch.cat([first, torch.zeros_like(first)], 2)
    one, other = (best_tree(x, torch.tensor([limit]), len(holds), survival) for x in (first, both))
    there = one.there_BW
    assert torch.equal(there, other.there_BW)
    assert torch.equal(one.chance_BX, other.chance_BX)
    for a, b in ((one.parent_BW, other.parent_BW), (one.candidate_BW, other.candidate_BW)):
        assert torch.equal(a[there], b[there])
    assert stem(one)[:, 1:].equal(there)


def test_rows_are_chosen_for_themselves():
    holds = torch.rand(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(-1, True).values
    limit = torch.tensor([3, 0, 1, 2, 3])
    together = best_tree(holds, limit, 7)
    for row in range(5):
        assert paths_of(together, row) == paths_of(best_tree(holds[row : row + 1], limit[row : row + 1], 7))
    gone = together.without(torch.tensor([True, False, False, False, True]))
    assert gone.nodes_B.tolist() == [0, 0, 4, 7, 0] and gone.chance_BX[0].tolist() == [1.0] + [0.0] * 7


def test_the_most_nodes_have_bits():
    tree = given_chain(torch.tensor([MOST_NODES]), MOST_NODES)
    bits = path_bits(tree, tree.there_BW)[0]
    assert [int(b).bit_count() if b >= 0 else 64 for b in bits] == list(range(65))
    assert int(bits[-1]) == -1  # the last one is the sign


def test_tokens_of_nodes():
    holds = torch.tensor([[[0.6, 0.4], [0.7, 0.3]]], dtype=torch.float64)
    tree = best_tree(holds, torch.tensor([2]), 4)  # 0.6, 0.42, 0.4, 0.28
    assert paths_of(tree) == [(0,), (0, 0), (1,), (1, 0)]
    assert tree.tokens(torch.tensor([[[5, 6], [7, 8]]])).tolist() == [[5, 7, 6, 7]]


def test_chances_of_candidates():
    score = torch.tensor([[-0.5, -1.0, -torch.inf], [-0.5, -1.0, -torch.inf]], dtype=torch.float64)
    mass = torch.tensor([0.9, 0.8], dtype=torch.float64)
    found: Tensor = chances(score, mass, torch.tensor([False, True]))
    assert found.sum(-1).tolist() == pytest.approx([0.9, 0.8])
    assert float(found[0, 0] / found[0, 1]) == pytest.approx(math.exp(0.5))
    assert found[:, 2].tolist() == [0.0, 0.0]
    assert chances(score[:, :1], mass, torch.tensor([False, True])).tolist() == [[0.9], [0.8]]


@pytest.mark.parametrize("mass", [1.0, 1 + 2**-52, 1 + 1e-12])
def test_no_child_is_likelier_than_its_parent_whatever_its_mass_is_rounded_to(mass):
    hold = chances(torch.tensor([[0.0, -torch.inf]]), torch.tensor([mass], dtype=torch.float64), torch.tensor([True]))
    tree = best_tree(torch.stack([torch.tensor([[0.64, 0.36]]).double(), hold], 1), torch.tensor([2]), 3)
    assert (tree.parent_BW <= torch.arange(3)).all()
