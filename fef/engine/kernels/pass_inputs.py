"""What a pass of kernels reads, per token and per query, besides weights and caches.

Shapes: B rows, N tokens of a row, of which the last Q are queries, X states of a tree, G draft groups, M queries of all rows
at which is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["PassInputs"]


@dataclass
class PassInputs:
    """What the other kernels of a pass read, per token and per query at which is drawn (all of the last Q tokens of a row, or
    the first X of them; all rows' in one axis M).

    ids, positions, seeds, steps, seen and what is per row or state are int64, valid is bool, the others int32, temperatures
    float64. Numbers of absent nodes mean nothing.
    """

    ids_BN: Tensor  # tokens
    position_BN: Tensor  # on the canvas
    place_BN: Tensor  # where keys and values go in the cache
    slot_BN: Tensor  # of the row
    valid_BN: Tensor  # is it a token?
    rank_BN: Tensor  # see `PassTokens`
    limit_BN: Tensor  # see `PassTokens`
    group_BN: Tensor  # see `PassTokens`
    seen_BN: Tensor  # see `PassTokens`
    width_B: Tensor  # nodes of the tree
    parent_BX: Tensor  # of each state; the root is its own
    depth_BX: Tensor  # of each state
    start_BG: Tensor  # see `PassTokens`
    seed_M: Tensor  # key of the random numbers, with position and step
    query_position_M: Tensor  # on the canvas
    step_M: Tensor  # the denoising pass
    temperature_M: Tensor  # 0: greedy
    forced_M: Tensor  # the end token is certain
    forbidden_M: Tensor  # the end token is impossible
    query_valid_M: Tensor  # is it a query?
