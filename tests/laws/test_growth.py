"""Trees that grow depth by depth: the best nodes of all, by brute force over every path of a small law."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from fef.laws.growth import Drafted, child_chances, grow

B, D, V = 3, 3, 4
LAST = torch.tensor([0, 1, 2])


def conditional(seed: int = 0) -> Tensor:
    """Chances [B, V, V, V, V] of the next token after (last, first, second), padded with the last one."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(B, D, V, V, V, generator=generator, dtype=torch.float64).softmax(-1)


class Branches:
    """Expands states by laws that depend on the token of a state and on that before it."""

    def __init__(self, law: Tensor, children: int = V) -> None:
        self.law, self.children, self.token_BF = law, children, LAST[:, None]

    def __call__(self, depth: int, parent_BF: Tensor, token_BF: Tensor) -> tuple[Tensor, Tensor]:
        before_BF = self.token_BF.gather(1, parent_BF)
        self.token_BF = token_BF
        row_B1 = torch.arange(B)[:, None]
        chance, token = self.law[row_B1, depth, before_BF, token_BF].sort(dim=-1, descending=True, stable=True)
        return chance[..., : self.children], token[..., : self.children]


def chance_of(law: Tensor, row: int, path: tuple[int, ...]) -> float:
    tokens = [int(LAST[row]), int(LAST[row]), *path]
    found = 1.0
    for depth in range(len(path)):
        found *= float(law[row, depth, tokens[depth], tokens[depth + 1], tokens[depth + 2]])
    return found


def paths_of(drafted: Drafted, row: int) -> dict[tuple[int, ...], float]:
    """The path to each node, and its chance."""
    tree, paths = drafted.tree, [()]
    for parent, token, there in zip(tree.parent_BW[row], drafted.token_BW[row], tree.there_BW[row], strict=True):
        paths.append((*paths[int(parent)], int(token)) if there else (-1,))
    return {
        path: float(chance)
        for path, chance, there in zip(paths[1:], tree.chance_BX[row, 1:], tree.there_BW[row], strict=True)
        if there
    }


@pytest.mark.parametrize("nodes", [1, 5, 17, 84, 90])
def test_it_takes_the_likeliest_nodes_of_all(nodes: int) -> None:
    law = conditional()
    tree = grow(Branches(law), LAST, torch.full((B,), D), D, nodes, frontier=nodes)
    for row in range(B):
        every = {
            path: chance_of(law, row, path)
            for length in range(1, D + 1)
            for path in itertools.product(range(V), repeat=length)
        }
        best = sorted(every.values(), reverse=True)[:nodes]
        found = paths_of(tree, row)
        assert sorted(found.values(), reverse=True) == pytest.approx(best)
        assert all(chance == pytest.approx(every[path]) for path, chance in found.items())


def test_a_narrow_frontier_finds_no_better_tree_and_a_valid_one() -> None:
    law = conditional()
    wide, narrow = (grow(Branches(law), LAST, torch.full((B,), D), D, 12, frontier) for frontier in (12, 2))
    assert (narrow.tree.chance_BX.sum(1) <= wide.tree.chance_BX.sum(1) + 1e-12).all()
    assert (narrow.tree.chance_BX.sum(1) < wide.tree.chance_BX.sum(1)).any()
    for row in range(B):
        assert all(chance == pytest.approx(chance_of(law, row, path)) for path, chance in paths_of(narrow, row).items())


def test_parents_come_first_and_depths_follow() -> None:
    tree = grow(Branches(conditional()), LAST, torch.tensor([3, 2, 0]), D, 30, frontier=8).tree
    number_W = torch.arange(30)
    assert (tree.parent_BW <= number_W).all()
    assert torch.equal(
        tree.depth_BX[:, 1:][tree.there_BW], (tree.depth_BX.gather(1, tree.parent_BW) + 1)[tree.there_BW]
    )
    assert [int(d[t].max()) if t.any() else 0 for d, t in zip(tree.depth_BX[:, 1:], tree.there_BW, strict=True)] == [
        3,
        2,
        0,
    ]
    assert tree.chance_BX[2, 1:].eq(0).all()


def test_children_are_numbered_from_the_likeliest() -> None:
    tree = grow(Branches(conditional(), children=2), LAST, torch.full((B,), D), D, 14, frontier=8).tree
    assert set(tree.candidate_BW.flatten().tolist()) == {0, 1}
    for row in range(B):
        first = {
            int(p): float(c)
            for p, c, k in zip(tree.parent_BW[row], tree.chance_BX[row, 1:], tree.candidate_BW[row], strict=True)
            if k == 0
        }
        second = {
            int(p): float(c)
            for p, c, k in zip(tree.parent_BW[row], tree.chance_BX[row, 1:], tree.candidate_BW[row], strict=True)
            if k == 1
        }
        assert all(first[p] >= c for p, c in second.items())


def test_a_draw_is_the_likeliest_child_of_its_own_law() -> None:
    """With the noise of the slot a target of the same law draws the likeliest child; without it, the twin, not."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 1, 6, generator=generator)
    noise = -(-torch.rand(500, 1, 6, generator=generator, dtype=torch.float64).log()).log()
    logp = (logits.double() / 0.7).log_softmax(-1)
    drawn = (logp + noise).argmax(-1)
    sampled = torch.ones(500, dtype=torch.bool)
    chance, candidate = child_chances(logp, noise, sampled, 6)
    assert torch.equal(candidate[..., 0], drawn)
    assert chance.sum(-1).allclose(torch.ones(500, 1, dtype=torch.float64))
    _, blind = child_chances(logp, torch.zeros_like(noise), sampled, 6)
    assert (blind[..., 0] != drawn).float().mean() > 0.2


def test_the_target_draws_children_about_as_often_as_their_chances_say() -> None:
    """Where log q misses log p by some nats, as draft laws do. The twin, in whose greedy rows q is taken at its word
    with the noise added, is far too sure."""
    generator = torch.Generator().manual_seed(1)
    logq, missed = (
        torch.randn(2, 4000, 1, 8, generator=generator, dtype=torch.float64) * torch.tensor([2, 3])[:, None, None, None]
    )
    noise = -(-torch.rand(4000, 1, 8, generator=generator, dtype=torch.float64).log()).log()
    drawn = (logq + missed + noise).argmax(-1)
    off = []
    for sampled in (True, False):
        chance, candidate = child_chances(logq, noise, torch.full((4000,), sampled), 8)
        off.append(float(chance[..., 0].mean() - (candidate[..., 0] == drawn).double().mean()))
    assert abs(off[0]) < 0.05 < 0.15 < off[1]


def test_without_noise_chances_are_those_of_the_law() -> None:
    logp = torch.randn(8, 2, 6).double().log_softmax(-1)
    chance, candidate = child_chances(logp, torch.zeros_like(logp), torch.zeros(8, dtype=torch.bool), 2)
    assert torch.equal(candidate[..., 0], logp.argmax(-1))
    assert torch.allclose(chance, logp.exp().topk(2, dim=-1).values)


@pytest.mark.parametrize("survival", [0.0, 0.3, 0.9])
def test_a_chain_grows_as_far_as_it_is_worth(survival: float) -> None:
    law = conditional()
    drafted = grow(Branches(law, children=1), LAST, torch.tensor([3, 2, 0]), D, D, 1, survival)
    for row, limit in enumerate((3, 2, 0)):
        path: tuple[int, ...] = ()
        expected = {}
        while len(path) < limit and chance_of(law, row, path) >= survival:
            last = [int(LAST[row]), int(LAST[row]), *path]
            path = (*path, int(law[row, len(path), last[-2], last[-1]].argmax()))
            expected[path] = pytest.approx(chance_of(law, row, path))
        assert paths_of(drafted, row) == expected
