"""After EOS comes EOS, as a part of the law, so that stopping at EOS is exact.

Behind an EOS a slot is EOS with probability one, and before another token it cannot be EOS. All that counts of the tokens
that a slot sees are two bounds: the position of the first EOS, and that of the last other token.

Shapes: B rows, N tokens, X = N + 1 numbers of tokens, or states of a tree of N nodes, S slots, R slots of a pass in decoding
order, T of them with a token. Positions are int64.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.laws.tree import Tree, along

__all__ = ["at_position", "bounds", "bounds_before", "bounds_on_paths", "undecided"]


def bounds(
    first_B: Tensor, last_B: Tensor, position_BN: Tensor, token_BN: Tensor, real_BN: Tensor, eos_id: int
) -> tuple[Tensor, Tensor]:
    """The bounds (first EOS, last other token), [B] each, when the real ones of these tokens join what gave first_B and
    last_B."""
    first_BX, last_BX = _joined(first_B, last_B, position_BN, token_BN, real_BN, eos_id)
    return first_BX.amin(1), last_BX.amax(1)


def bounds_before(
    first_B: Tensor, last_B: Tensor, position_BN: Tensor, token_BN: Tensor, real_BN: Tensor, eos_id: int
) -> tuple[Tensor, Tensor]:
    """`bounds` of the first 0, 1, .., N of these tokens, [B, X] each."""
    first_BX, last_BX = _joined(first_B, last_B, position_BN, token_BN, real_BN, eos_id)
    return first_BX.cummin(1).values, last_BX.cummax(1).values


def bounds_on_paths(
    first_B: Tensor, last_B: Tensor, position_BN: Tensor, token_BN: Tensor, tree: Tree, eos_id: int
) -> tuple[Tensor, Tensor]:
    """`bounds` at each state of a tree, of the nodes on the path to it, [B, X] each. Positions and tokens: of the nodes."""
    first_BX, last_BX = _joined(first_B, last_B, position_BN, token_BN, tree.there_BW, eos_id)
    return along(tree, first_BX, torch.minimum), along(tree, last_BX, torch.maximum)


def _joined(
    first_B: Tensor, last_B: Tensor, position_BN: Tensor, token_BN: Tensor, real_BN: Tensor, eos_id: int
) -> tuple[Tensor, Tensor]:
    first_B1, last_B1, is_eos_BN = first_B[:, None], last_B[:, None], token_BN == eos_id
    end_BN = torch.where(real_BN & is_eos_BN, position_BN, first_B1)
    other_BN = torch.where(real_BN & ~is_eos_BN, position_BN, last_B1)
    return torch.cat([first_B1, end_BN], 1), torch.cat([last_B1, other_BN], 1)


def at_position(position_BS: Tensor, first_BS: Tensor, last_BS: Tensor) -> tuple[Tensor, Tensor]:
    """(forced, forbidden) bool [B, S]: EOS is certain, EOS is impossible, at slots with these bounds."""
    forced_BS = position_BS > first_BS
    return forced_BS, (position_BS < last_BS) & ~forced_BS


def undecided(first_B: Tensor, position_BR: Tensor, token_BT: Tensor, eos_id: int) -> Tensor:
    """How many of the T tokens, in decoding order, it takes until EOS decides the rest of the R slots; int64 [B].

    first_B: position of the first EOS before the pass.
    """
    T = token_BT.shape[1]
    at_BT, real_BT = position_BR[:, :T], torch.ones_like(token_BT, dtype=torch.bool)
    first_BX, _ = bounds_before(first_B, torch.full_like(first_B, -1), at_BT, token_BT, real_BT, eos_id)
    lowest_BR = position_BR.flip(1).cummin(1).values.flip(1)  # position from each rank on
    decided_BT = lowest_BR[:, :T] > first_BX[:, :T]
    return pad(decided_BT, (0, 1), value=True).long().argmax(1)
