"""The window of a speculative round: where the round likely ends, and which drafts come next.

Both follow from the chance that each draft holds. That chance is a function of history, never of a value drawn, and the
law of the text is the same for every window.

Shapes: B rows, W nodes, X = W + 1 states, A and G groups, K depths of drafts kept; others as in `tree`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.laws.accept import Accepted
from fef.laws.tree import Tree, path_states, stem

__all__ = [
    "LEAST_END",
    "MORE_GROUPS",
    "SURVIVAL",
    "TREE_ANCHORS",
    "TREE_BRANCHING",
    "TREE_DEPTH",
    "TREE_SURVIVAL",
    "branching",
    "chain_anchors",
    "group_starts",
    "least_chance",
    "next_drafts",
]

# What packed rounds do unless told otherwise (`docs/results/drafts.md`).
_FEW, _MANY = 4, 8  # drafts of a chain behind which, and up to which, another group is worth its tokens
MORE_GROUPS = (10, 3)  # drafts and anchors of a chain for where tokens cost next to nothing: one request on a GPU
SURVIVAL = 0.5
LEAST_END = 1e-9  # a chance to end that is lower is one of rounding
TREE_ANCHORS = 3
TREE_BRANCHING = 8
TREE_DEPTH = 6
TREE_SURVIVAL = 0.0


def branching(vocab_size: int | None) -> int:
    """Candidates of a depth of trees."""
    return TREE_BRANCHING if vocab_size is None else min(TREE_BRANCHING, vocab_size)


def chain_anchors(window: int) -> int:
    """Draft groups of a chain besides that at its end.

    A chain of a few drafts is for where every token costs, a long one for drafts that mostly hold. In between, a group at the
    likeliest other end brings more drafts that hold than a chain twice as long, and has fewer tokens.
    """
    return 1 if _FEW < window <= _MANY else 0


def least_chance(candidates: int) -> float:
    """The chance to be reached from which on a draft is worth verifying.

    A chain that ends where the round is likely to end has the next drafts ready behind it. A tree has groups at such places.
    """
    return SURVIVAL if candidates == 1 else TREE_SURVIVAL


def stem_end(tree: Tree) -> Tensor:
    """The last state of the stem [B]."""
    return torch.where(stem(tree), tree.depth_BX, -1).argmax(1)


def ends(tree: Tree) -> Tensor:
    """Chance [B, X] that a round ends at each state: that it comes there and to no child."""
    return tree.chance_BX.scatter_add(1, tree.parent_BW, -tree.chance_BX[:, 1:])


def group_starts(tree: Tree, anchors: int) -> Tensor:
    """The states where draft groups stand [B, 1 + anchors]: the end of the stem, and those of the others where the round most
    likely ends, the likeliest first; -1 where there is none."""
    end_B1 = stem_end(tree)[:, None]
    anchors = min(anchors, tree.there_BW.shape[1])
    if not anchors:
        return end_B1
    ends_BX = ends(tree).masked_fill(~tree.there_BX, 0.0).scatter(1, end_B1, 0.0)
    chance_BA, state_BA = ends_BX.sort(dim=1, descending=True, stable=True)
    return torch.cat([end_B1, torch.where(chance_BA > LEAST_END, state_BA, -1)[:, :anchors]], 1)


def next_drafts(tree: Tree, start_BG: Tensor, depth: int, accepted: Accepted, keep: int) -> tuple[Tensor, Tensor]:
    """Where the drafts behind the committed slots come from: queries [B, K] of the round, and how many there are [B].

    Queries are those of the X states, and then of G groups the depth - 1 members behind that of their state; start_BG: the
    state of each group, -1 where it is absent. Of the group that starts last on the path that was accepted, else of the
    states of the stem behind its end, which a wrong draft misled.
    """
    commit_B = accepted.commit_B
    member_K = torch.arange(keep, device=commit_B.device)
    state_BG = start_BG.clamp(min=0)
    depth_BG = tree.depth_BX.gather(1, state_BG)
    on_path_BG = (accepted.path_BT.gather(1, depth_BG) == state_BG) & (depth_BG <= accepted.accepted_B[:, None])
    begin_BG = torch.where((start_BG >= 0) & on_path_BG, depth_BG, -1)
    begin_B1, last_B1 = begin_BG.max(1, keepdim=True)
    skip_B1 = commit_B[:, None] - begin_B1
    in_group_B1 = (begin_B1 >= 0) & (skip_B1 < depth)
    number_BK = (skip_B1 + member_K).clamp(0, depth - 1)
    behind_BK = tree.depth_BX.shape[1] + last_B1 * (depth - 1) + number_BK - 1
    from_group_BK = torch.where(number_BK == 0, state_BG.gather(1, last_B1), behind_BK)
    on_stem_BX = stem(tree)
    stem_BT = path_states(tree, on_stem_BX)
    from_stem_BK = stem_BT.gather(1, (commit_B[:, None] + member_K).clamp(max=tree.depths))
    left_B = (on_stem_BX.sum(1) - 1 - commit_B).clamp(min=0)
    source_BK = torch.where(in_group_B1, from_group_BK, from_stem_BK)
    count_B = torch.where(in_group_B1[:, 0], depth - skip_B1[:, 0], left_B)
    return source_BK, count_B.clamp(max=keep)
