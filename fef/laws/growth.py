"""A tree of drafts that grows depth by depth, where the law of a slot may depend on the branch that leads to it.

Which nodes it takes: those that a round most likely comes to. The chance of a node is the product along its path, so it
falls along every path, and the best nodes are a tree. Chances come from draft laws and the noise of the slots, never from
a target, so they change how many drafts hold and not what is sampled (`docs/laws.md`, "Draft and verify").

Shapes: B rows, D depths, F frontier states, C children of a state, P nodes of a depth, M nodes of all depths; others as in
`tree`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.laws.tree import ABSENT, Tree, chain_tree, shares, tree_of

__all__ = ["Drafted", "Expand", "best_tree", "child_chances", "grow"]

Expand = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""expand(depth, parent_BF, token_BF) gives chances and tokens [B, F, C] of the children of frontier states, the likeliest
first. depth: of the states, 0 for the root. parent_BF: the states of the frontier before that they continue. token_BF: what
they hold; the root, the last committed token."""


@dataclass(frozen=True)
class Drafted:
    """A tree, and what its nodes hold."""

    tree: Tree
    token_BW: Tensor


def best_tree(holds_BDC: Tensor, limit_B: Tensor, nodes: int, survival: float = 0.0) -> Tree:
    """`grow` where the law of a slot does not depend on the branch.

    holds_BDC: chance that the target draws a candidate of a depth, in [0, 1], the first the largest. limit_B: depths that
    have drafts and slots. The frontier is all that could be in the tree.
    """
    D, C = holds_BDC.shape[1:]
    if C == 1:
        return chain_tree(holds_BDC[:, :nodes, 0], limit_B, survival)
    candidate_BFC = torch.arange(C, device=limit_B.device).expand(len(limit_B), 1, C)

    def expand(depth: int, parent_BF: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        states = parent_BF.shape[1]
        return holds_BDC[:, depth, None].expand(-1, states, -1), candidate_BFC.expand(-1, states, -1)

    return grow(expand, torch.zeros_like(limit_B), limit_B, D, nodes, nodes, survival).tree


def grow(
    expand: Expand, last_B: Tensor, limit_B: Tensor, depths: int, nodes: int, frontier: int, survival: float = 0.0
) -> Drafted:
    """The tree of at most `nodes` nodes in `depths` depths, of each of which the best `frontier` states are continued.

    last_B: the last committed token. limit_B: depths that a row has slots for. A node whose parent is reached with a chance
    below `survival` is not worth its place, nor is one that is never drawn, unless it is the first. Of equals the shallower
    comes first, and of one depth that of the better parent. Shapes depend on the numbers alone.
    """
    zero_B1 = torch.zeros_like(last_B)[:, None]
    reached_BF, state_BF, index_BF, token_BF = zero_B1.double() + 1, zero_B1, zero_B1, last_B[:, None]
    found, states, children = [], 1, 1
    for depth in range(depths):
        if depth and last_B.device.type == "cpu" and not bool((reached_BF >= survival).any()):
            break  # where reading back is free
        chance_BFC, child_BFC = expand(depth, index_BF, token_BF)
        children = chance_BFC.shape[2]
        first_C = torch.arange(children, device=last_B.device) == 0
        worth_BF1 = ((reached_BF >= survival) & (depth < limit_B)[:, None])[..., None]
        worth_BFC = worth_BF1 & (first_C | (chance_BFC > 0))
        joint_BM = torch.where(worth_BFC, reached_BF[..., None] * chance_BFC, ABSENT).flatten(1)
        joint_BP, place_BP = (x[:, :nodes] for x in joint_BM.sort(dim=1, descending=True, stable=True))
        parent_BP, token_BP = place_BP // children, child_BFC.flatten(1).gather(1, place_BP)
        depth_BP = torch.full_like(place_BP, depth + 1)
        found.append((joint_BP, state_BF.gather(1, parent_BP), token_BP, place_BP % children, depth_BP))
        number_P = states + torch.arange(place_BP.shape[1], device=last_B.device)
        states += place_BP.shape[1]
        reached_BF, index_BF, token_BF = (x[:, :frontier] for x in (joint_BP, parent_BP, token_BP))
        state_BF = number_P[:frontier].expand_as(index_BF)
    return best_of([torch.cat(parts, 1) for parts in zip(*found, strict=True)], nodes, depths, children)


def best_of(found: Sequence[Tensor], nodes: int, depths: int, children: int) -> Drafted:
    """The likeliest of all nodes: their chances, parents, tokens, places among their siblings, and depths, [B, M] each."""
    joint_BM, *others = found
    # a stable order leaves every parent before its children
    order_BM = joint_BM.sort(dim=1, descending=True, stable=True).indices
    new_BX = pad(order_BM.argsort(dim=1) + 1, (1, 0))  # number of each state among the best
    spare = max(0, nodes - order_BM.shape[1])
    joint_BW, parent_BW, token_BW, place_BW, depth_BW = (
        pad(x_BM.gather(1, order_BM[:, :nodes]), (0, spare), value=absent)
        for x_BM, absent in zip((joint_BM, *others), (ABSENT, 0, 0, 0, 1), strict=True)
    )
    tree = tree_of(joint_BW, new_BX.gather(1, parent_BW), place_BW, depth_BW, depths, children)
    return Drafted(tree, token_BW)


def child_chances(logp_BFC: Tensor, noise_BFC: Tensor, sampled_B: Tensor, branching: int) -> tuple[Tensor, Tensor]:
    """Chances [B, F, branching] that the target draws each of a state's likeliest children, and which candidates they are.

    logp_BFC: draft law on the candidates of the slot, float64, nats; of greedy rows that at temperature 1. noise_BFC: Gumbel
    numbers of the slot at them, with which the target draws (`fef.laws.accept.coupled`). sampled_B: rows where it does; 0 is
    the noise of the others. Given the noise, a candidate's chance grows with log q + g (`fef.laws.tree.shares`).
    """
    chance_BFC = shares(logp_BFC + noise_BFC, sampled_B[:, None, None])
    chance_BFC, candidate_BFC = chance_BFC.sort(dim=-1, descending=True, stable=True)
    return chance_BFC[..., :branching], candidate_BFC[..., :branching]
