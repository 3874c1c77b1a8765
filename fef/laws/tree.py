"""Trees of drafts: which nodes a round verifies, what lies on each path, and which path holds.

The *root* is the state of a request behind all that is committed. A *node* is a draft that continues a state and makes
another one. States are numbered: 0 is the root, n + 1 the state behind node n. A node stands behind its parent, so
parent_BW[:, n] <= n, and a node of depth d drafts the slot of rank done - 1 + d, where `done` counts what is committed. A
*chain* is the tree of one branch.

The *stem* is the branch on which every node is the first child of its parent: the likeliest. Its nodes have reference places
of their own, by rank, as the drafts of a chain have: nobody clashes there. Nodes off the stem are told from each other by
bits.

    tokens of a round   the last committed token and the W nodes (references), a target query per state, and for each of G
                        draft groups depth - 1 more masks: the target query of the state is the group's first member
    what a state sees   references by rank below `limit`: what is committed, and the stem as far as the path follows it;
                        off the stem, nodes whose bit is set in `seen`
    after a round       the target draws along the path that holds are committed; the keys of its nodes off the stem move to
                        their reference places

A tree only has to contain what the targets draw: under coupled acceptance (`fef.laws.accept`) a round commits the draws
themselves, so the text does not depend on the tree, at any temperature. Nodes are chosen before the pass, from draft laws and
the noise alone.

Shapes: B rows, N slots of all rows, D depths that have drafts, C candidates of a depth, W nodes, X = W + 1 states, T = D + 1
places of a path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = [
    "ABSENT",
    "MOST_NODES",
    "TAU",
    "Tree",
    "along",
    "chain_tree",
    "chances",
    "given_chain",
    "path_bits",
    "path_states",
    "shares",
    "stem",
    "tree_of",
    "walk",
]

MOST_NODES = 64  # a path is told by the bits of one int64

ABSENT = -1.0  # below every chance

TAU = 2.0
"""Temperature at which scores log q + g become chances to be drawn by the target: the likeliest one on what followed
drafts of SmolLM2-135M on GSM8K at temperature 0.7."""


@dataclass(frozen=True)
class Tree:
    """The nodes of each row, those that are there first, each behind its parent."""

    parent_BW: Tensor  # state that a node continues
    candidate_BW: Tensor  # its place among the children of its parent, the likeliest first
    there_BW: Tensor  # is there such a node?
    depth_BX: Tensor  # of each state; the root has 0
    chance_BX: Tensor  # that a round comes to a state, float64; 0 where there is none
    depths: int  # D
    branching: int = 1  # most children of a state; of one, all nodes lie on the stem

    @property
    def parent_BX(self) -> Tensor:
        """The root is its own parent."""
        return pad(self.parent_BW, (1, 0))

    @property
    def there_BX(self) -> Tensor:
        return pad(self.there_BW, (1, 0), value=True)

    @property
    def nodes_B(self) -> Tensor:
        return self.there_BW.sum(1)

    def without(self, rows_B: Tensor) -> Tree:
        """No nodes in the rows of a mask."""
        there_BW = self.there_BW & ~rows_B[:, None]
        gone_BX = pad(rows_B[:, None].expand_as(there_BW), (1, 0))
        return replace(self, there_BW=there_BW, chance_BX=self.chance_BX.masked_fill(gone_BX, 0.0))

    def within(self, limit_B: Tensor) -> Tree:
        """Only the nodes of the first so many depths of each row."""
        there_BW = self.there_BW & (self.depth_BX[:, 1:] <= limit_B[:, None])
        gone_BX = pad(~there_BW, (1, 0), value=False)
        return replace(self, there_BW=there_BW, chance_BX=self.chance_BX.masked_fill(gone_BX, 0.0))

    def tokens(self, draft_BDC: Tensor) -> Tensor:
        """What stands at each node [B, W], where all states of a depth have the same candidates, and these are they."""
        C = draft_BDC.shape[2]
        at_BW = (self.depth_BX[:, 1:] - 1) * C + self.candidate_BW
        return draft_BDC.flatten(1).gather(1, at_BW)


def chances(score_NC: Tensor, mass_N: Tensor, sampled_N: Tensor) -> Tensor:
    """Chance [N, C] that the target draws each of the candidates of a slot.

    score_NC: log q plus the noise of the slot where sampled_N, log q alone where not; falling. mass_N: probability that q
    gives to its C likeliest tokens. Of one candidate it is that mass: the largest probability.
    """
    # a sum of probabilities may be rounded to more than 1, and a child be likelier than its parent then
    return mass_N.clamp(max=1.0)[:, None] * shares(score_NC, sampled_N[:, None])


def shares(score: Tensor, sampled: Tensor) -> Tensor:
    """Chance [.., C] that the target draws each of the candidates of a slot, given that it draws one of them. score [.., C],
    sampled [.., 1]: as in `chances`."""
    return (score.double() / torch.where(sampled, TAU, 1.0)).softmax(-1)


def chain_tree(holds_BW: Tensor, limit_B: Tensor, survival: float = 0.0) -> Tree:
    """The tree of one candidate per depth, where there is nothing to choose."""
    place_BW = torch.arange(holds_BW.shape[1], device=limit_B.device).expand_as(holds_BW)
    reached_BX = pad(holds_BW.cumprod(1), (1, 0), value=1.0)
    worth_BW = (reached_BX[:, :-1] >= survival) & (place_BW < limit_B[:, None])
    chance_BW = torch.where(worth_BW, reached_BX[:, 1:], ABSENT)
    return tree_of(chance_BW, place_BW, torch.zeros_like(place_BW), place_BW + 1, holds_BW.shape[1])


def given_chain(width_B: Tensor, nodes: int) -> Tree:
    """A chain of so many nodes that are there, of at most `nodes`, each certain to be reached."""
    return chain_tree(torch.ones(len(width_B), nodes, dtype=torch.float64, device=width_B.device), width_B)


def tree_of(
    chance_BW: Tensor, parent_BW: Tensor, candidate_BW: Tensor, depth_BW: Tensor, depths: int, branching: int = 1
) -> Tree:
    """Of numbers of the nodes; their chance is `ABSENT` where there is none."""
    chance_BX = pad(chance_BW.clamp(min=0), (1, 0), value=1.0)
    return Tree(parent_BW, candidate_BW, chance_BW >= 0, pad(depth_BW, (1, 0)), chance_BX, depths, branching)


def along(tree: Tree, value_BX: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The values at the states of the path to each state, itself included, joined [B, X]. join: idempotent, as a minimum.

    Pointer doubling: steps grow with the logarithm of the depth.
    """
    up_BX = tree.parent_BX
    for _ in range(tree.depths.bit_length()):
        value_BX = join(value_BX, value_BX.gather(1, up_BX))
        up_BX = up_BX.gather(1, up_BX)
    return value_BX


def stem(tree: Tree) -> Tensor:
    """Which states lie on the stem, the root among them: bool [B, X]."""
    if tree.branching == 1:
        return tree.there_BX
    first_BX = pad(tree.there_BW & (tree.candidate_BW == 0), (1, 0), value=True)
    return along(tree, first_BX, torch.logical_and)


def path_bits(tree: Tree, node_BW: Tensor) -> Tensor:
    """Which of the marked nodes lie on the path to each state: bit n for node n, int64 [B, X]."""
    assert node_BW.shape[1] <= MOST_NODES, "a bit per node"
    bit_W = torch.ones((), dtype=torch.int64, device=node_BW.device) << torch.arange(
        node_BW.shape[1], device=node_BW.device
    )
    return along(tree, pad(torch.where(node_BW, bit_W, 0), (1, 0)), torch.bitwise_or)


def walk(tree: Tree, draft_BW: Tensor, drawn_BX: Tensor) -> Tensor:
    """The states that a round comes to, bool [B, X]: from the root, each time to the child that holds what was drawn.

    They form one path, as the children of a state hold different tokens. draft_BW: what the nodes hold. drawn_BX: what was
    drawn at each state.
    """
    holds_BW = tree.there_BW & (draft_BW == drawn_BX.gather(1, tree.parent_BW))
    return along(tree, pad(holds_BW, (1, 0), value=True), torch.logical_and)


def path_states(tree: Tree, on_path_BX: Tensor) -> Tensor:
    """The state of each depth on a path, [B, T]; 0 behind its end."""
    state_BX = torch.arange(on_path_BX.shape[1], device=on_path_BX.device).expand_as(on_path_BX)
    nowhere = tree.depths + 1
    place_BX = torch.where(on_path_BX, tree.depth_BX, nowhere)
    return torch.zeros_like(state_BX[:, :1]).repeat(1, nowhere + 1).scatter(1, place_BX, state_BX)[:, :nowhere]
