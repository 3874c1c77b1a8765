"""Rows of one owner as groups of tokens in one sequence, which see the cached keys of their owner and their own group.

Shapes: R rows, B owners that have one, L canvas length, N tokens of a sequence, K tokens in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Groups", "lay_out"]


@dataclass(frozen=True)
class Groups:
    """Who computes what where."""

    owner_B: Tensor  # the owner of each sequence
    sequence_R: Tensor  # the sequence of each row
    row_BN: Tensor  # the row of each token
    index_BN: Tensor  # its canvas position
    real_BN: Tensor  # False behind the last token
    source_RL: Tensor  # the row whose token stands for a position of row r, -1 where its cached key does
    column_RL: Tensor  # where that token is in the sequence, -1 likewise

    def visible(self, plain_BNL: Tensor) -> Tensor:
        """The attention pattern, bool [B, N, L + N]; plain_BNL: which canvas positions each token sees in a plain pass."""
        source_BNL = self.source_RL[self.row_BN]
        key_BNN = self.index_BN[:, None].expand(-1, self.index_BN.shape[1], -1)
        own_BNN = (source_BNL.gather(2, key_BNN) == self.row_BN[:, None]) & self.real_BN[:, None]
        return torch.cat([plain_BNL & (source_BNL < 0), plain_BNL.gather(2, key_BNN) & own_BNN], dim=2)


def lay_out(fresh_RL: Tensor, owner_R: Tensor, source_RL: Tensor | None = None) -> Groups:
    """The tokens `fresh_RL` of each row, row behind row. owner_R must ascend. source_RL: the row of the same owner that
    computes each fresh position for row r; by default r itself."""
    rows_R = torch.arange(len(fresh_RL), device=fresh_RL.device)
    source_RL = rows_R[:, None].expand_as(fresh_RL) if source_RL is None else source_RL
    source_RL = source_RL.masked_fill(~fresh_RL, -1)
    first_R = torch.nn.functional.pad(owner_R[1:] != owner_R[:-1], (1, 0), value=True)
    sequence_R = first_R.long().cumsum(0) - 1
    own_RL = source_RL == rows_R[:, None]
    own_R = own_RL.sum(1)
    count_R = torch.zeros_like(own_R).index_add(0, sequence_R, own_R)  # of sequence r
    # the one read of the device: a shape
    sequences, length = torch.stack([sequence_R[-1] + 1, count_R.max()]).tolist()
    owner_B = torch.empty_like(owner_R).index_copy(0, sequence_R, owner_R)[:sequences]
    before_R = own_R.cumsum(0) - own_R - (count_R.cumsum(0) - count_R)[sequence_R]
    column_RL = before_R[:, None] + own_RL.long().cumsum(1) - 1
    # tokens go to their places, all else to a column that is dropped
    place_RL = sequence_R[:, None] * (length + 1) + torch.where(own_RL, column_RL, length)
    token_RL = torch.arange(source_RL.numel(), device=source_RL.device).view(source_RL.shape)
    token_BN = torch.full((sequences, length + 1), -1, device=source_RL.device)
    token_BN = token_BN.view(-1).index_copy(0, place_RL.view(-1), token_RL.view(-1)).view_as(token_BN)[:, :length]
    real_BN = token_BN >= 0
    row_BN, index_BN = (part_BN * real_BN for part_BN in (token_BN // fresh_RL.shape[1], token_BN % fresh_RL.shape[1]))
    source_column_RL = column_RL.gather(0, source_RL.clamp(min=0)).masked_fill(~fresh_RL, -1)
    return Groups(
        owner_B=owner_B,
        sequence_R=sequence_R,
        row_BN=row_BN,
        index_BN=index_BN,
        real_BN=real_BN,
        source_RL=source_RL,
        column_RL=source_column_RL,
    )
