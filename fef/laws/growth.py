"""A tree of drafts that grows depth by depth, where the law of a slot depends on the branch that leads to it.

Which nodes it takes: those that a round most likely comes to. The chance of a node is the product along its path, so it
falls along every path, and the best nodes are a tree. Chances come from draft laws and the noise of the slots, never from
a target, so they change how many drafts hold and not what is sampled (`docs/laws.md`, "Draft and verify").

States are numbered: 0 is the root, behind all that is committed, and n + 1 the state behind node n.

Shapes: B rows, F frontier states, C children of a state, P nodes of a depth, M nodes of all depths, W nodes, X = W + 1
states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Expand", "Grown", "child_chances", "grow", "held"]

ABSENT = -1.0  # below every chance

Expand = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""expand(depth, parent_BF, token_BF) gives chances and tokens [B, F, C] of the children of frontier states, the likeliest
first. depth: of the states, 0 for the root. parent_BF: the states of the frontier before that they continue. token_BF: what
they hold; the root, the last committed token."""


@dataclass(frozen=True)
class Grown:
    """The nodes of each row, the likeliest first, each behind its parent."""

    parent_BW: Tensor  # state that a node continues
    token_BW: Tensor  # what it holds
    child_BW: Tensor  # its place among the children of its parent, the likeliest first
    there_BW: Tensor  # is there such a node?
    depth_BX: Tensor  # of each state; the root has 0
    chance_BX: Tensor  # that a round comes to a state; 0 where there is none


def grow(expand: Expand, last_B: Tensor, limit_B: Tensor, depths: int, nodes: int, frontier: int) -> Grown:
    """The tree of at most `nodes` nodes in `depths` depths, of each of which the best `frontier` states are continued.

    last_B: the last committed token. limit_B: depths that a row has slots for. Of equals the shallower comes first, and
    of one depth that of the better parent. Shapes depend on the numbers alone.
    """
    zero_B1 = torch.zeros_like(last_B)[:, None]
    reached_BF, state_BF, index_BF, token_BF = zero_B1.double() + 1, zero_B1, zero_B1, last_B[:, None]
    found, states = [], 1
    for depth in range(depths):
        chance_BFC, child_BFC = expand(depth, index_BF, token_BF)
        C = chance_BFC.shape[2]
        open_BF1 = (reached_BF >= 0)[..., None] & (depth < limit_B)[:, None, None]
        joint_BFC = torch.where(open_BF1 & (chance_BFC > 0), reached_BF[..., None] * chance_BFC, ABSENT)
        joint_BP, place_BP = (x[:, :nodes] for x in joint_BFC.flatten(1).sort(dim=1, descending=True, stable=True))
        parent_BP, token_BP = place_BP // C, child_BFC.flatten(1).gather(1, place_BP)
        depth_BP = torch.full_like(place_BP, depth + 1)
        found.append((joint_BP, state_BF.gather(1, parent_BP), token_BP, place_BP % C, depth_BP))
        number_P = states + torch.arange(place_BP.shape[1], device=last_B.device)
        states += place_BP.shape[1]
        reached_BF, index_BF, token_BF = (x[:, :frontier] for x in (joint_BP, parent_BP, token_BP))
        state_BF = number_P[:frontier].expand_as(index_BF)
    return best_of([torch.cat(parts, 1) for parts in zip(*found, strict=True)], nodes)


def best_of(found: Sequence[Tensor], nodes: int) -> Grown:
    """The likeliest of all nodes: their chances, parents, tokens, places among their siblings, and depths, [B, M] each."""
    joint_BM, parent_BM, token_BM, child_BM, depth_BM = found
    # a stable order leaves every parent before its children
    order_BM = joint_BM.sort(dim=1, descending=True, stable=True).indices
    new_BX = pad(order_BM.argsort(dim=1) + 1, (1, 0))  # number of each state among the best
    spare = max(0, nodes - order_BM.shape[1])
    joint_BW, parent_BW, token_BW, child_BW, depth_BW = (
        pad(x_BM.gather(1, order_BM[:, :nodes]), (0, spare), value=absent)
        for x_BM, absent in ((joint_BM, ABSENT), (parent_BM, 0), (token_BM, 0), (child_BM, 0), (depth_BM, 1))
    )
    there_BW = joint_BW >= 0
    parent_BW = torch.where(there_BW, new_BX.gather(1, parent_BW), 0)
    chance_BX = pad(joint_BW.clamp(min=0), (1, 0), value=1.0)
    return Grown(parent_BW, token_BW, child_BW, there_BW, pad(depth_BW, (1, 0)), chance_BX)


def child_chances(
    logits_BFC: Tensor, noise_BFC: Tensor, temperature_B: Tensor, branching: int
) -> tuple[Tensor, Tensor]:
    """Chances [B, F, branching] that the target draws each of a state's likeliest children, and which candidates they are.

    logits_BFC: of the draft law on the candidates of the slot. noise_BFC: Gumbel numbers of the slot at them, with which
    the target draws (`fef.laws.accept.coupled`). Given the noise, a candidate's chance grows with log q + g; at
    temperature 0, where nothing is drawn, with log q.
    """
    greedy_B11 = (temperature_B == 0)[:, None, None]
    log_q_BFC = (logits_BFC.double() / torch.where(greedy_B11, 1.0, temperature_B[:, None, None])).log_softmax(-1)
    score_BFC = log_q_BFC + torch.where(greedy_B11, 0.0, noise_BFC)
    chance_BFC, candidate_BFC = score_BFC.softmax(-1).sort(dim=-1, descending=True, stable=True)
    return chance_BFC[..., :branching], candidate_BFC[..., :branching]


def held(tree: Grown, true_BD: Tensor, depths: int) -> Tensor:
    """How many nodes of each row's tree hold, [B], where these are the tokens of the slots, [B, D]."""
    state_B1, count_B = torch.zeros_like(tree.parent_BW[:, :1]), torch.zeros_like(tree.parent_BW[:, 0])
    going_B = torch.ones_like(count_B, dtype=torch.bool)
    for depth in range(min(depths, true_BD.shape[1])):
        fits_BW = tree.there_BW & (tree.parent_BW == state_B1) & (tree.token_BW == true_BD[:, depth, None])
        going_B = going_B & fits_BW.any(1)
        state_B1 = torch.where(going_B, fits_BW.long().argmax(1) + 1, -1)[:, None]
        count_B = count_B + going_B
    return count_B
