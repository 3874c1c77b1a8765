"""Streams of many canvases one behind another in a single row of fixed length: no padding, one shape, one compilation.

Every pattern of `fef.training.streams` is two intervals a query. With keys on a line, context at its rank (revealed: behind
all ranks) and references behind those in their order, a query sees a run of that line, `low < value <= high`: the context
ranked later, the revealed, and the references below its limit. Beside it, a target sees itself and a draft its group: a
run of places. Canvases follow each other on the line.

Shapes: B rows, N tokens of a row's streams, T places of the flat row, Q and K blocks of queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from fef.models.packed import REVEALED, PackedTokens, Stream
from fef.training.streams import Streams

__all__ = ["BLOCK", "Flat", "Intervals", "flatten", "listed", "revealed_last"]

BLOCK = 128  # places of a block of queries or keys
NOWHERE = -1  # the value of targets and drafts: no run of the line holds it
ASIDE = 1 << 22  # behind all values of a line
BEHIND = torch.iinfo(torch.int32).max  # of the line: the low of a query that sees no run of it


@dataclass
class Intervals:
    """Query t sees key k where low_T[t] < value_T[k] <= high_T[t], or first_T[t] <= k <= last_T[t]. int32."""

    value_T: Tensor
    low_T: Tensor
    high_T: Tensor
    first_T: Tensor
    last_T: Tensor

    def predicate(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Whether the queries at some places see the keys at others, as `flex_attention` asks: of any row and head.

        Both runs are of one line, on which targets and drafts stand far behind, at `ASIDE` and their place. A number is in a
        run where it is no farther from its middle than half its length: half the comparisons, of which a GPU does fewer at
        once than sums. Halves below 2^23 are exact in float32.
        """
        at_T = torch.arange(len(self.value_T), device=self.value_T.device)
        is_aside_T = self.value_T == NOWHERE
        value_T = torch.where(is_aside_T, ASIDE + at_T, self.value_T).float()
        line_T = (self.low_T.float() + 1 + self.high_T.float()) / 2, (self.high_T.float() - 1 - self.low_T.float()) / 2
        own_T = ASIDE + (self.first_T + self.last_T).float() / 2, (self.last_T - self.first_T).float() / 2
        (middle_T, half_T), (centre_T, reach_T) = line_T, own_T

        def sees(_row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            value = value_T[key]
            on_line = (value - middle_T[query]).abs() <= half_T[query]
            return on_line | ((value - centre_T[query]).abs() <= reach_T[query])

        return sees

    def dense(self) -> Tensor:
        """The whole pattern, bool [1, T, T]."""
        place_T = torch.arange(len(self.value_T), device=self.value_T.device)
        return self.predicate()(place_T, place_T, place_T[:, None], place_T[None, :])[None]

    def pairs(self) -> Tensor:
        """How many pairs of query and key see each other, a tensor without dimensions."""
        line_T = self.value_T.sort().values
        on_line = torch.searchsorted(line_T, self.high_T, right=True) - torch.searchsorted(
            line_T, self.low_T, right=True
        )
        beside = torch.where(self.value_T == NOWHERE, self.last_T - self.first_T + 1, 0)
        return on_line.clamp(min=0).sum() + beside.sum()

    def blocks(self, queries: int, keys: int) -> tuple[Tensor, Tensor]:
        """Blocks [Q, K] of so many places in which some query may see some key, a superset, and those in which every query
        sees every key, a subset: from each block's extremes."""
        value_KS = self.value_T.view(-1, keys)
        least_K = torch.where(value_KS > NOWHERE, value_KS, BEHIND).amin(1)
        most_K = value_KS.amax(1)
        low_QS, high_QS = self.low_T.view(-1, queries), self.high_T.view(-1, queries)
        on_line_QK = (most_K > low_QS.amin(1)[:, None]) & (least_K <= high_QS.amax(1)[:, None])
        start_K = torch.arange(len(least_K), device=least_K.device) * keys
        first_Q, last_Q = self.first_T.view(-1, queries).amin(1), self.last_T.view(-1, queries).amax(1)
        near_QK = (start_K + keys > first_Q[:, None]) & (start_K <= last_Q[:, None])
        whole_QK = (value_KS.amin(1) > low_QS.amax(1)[:, None]) & (most_K <= high_QS.amin(1)[:, None])
        return on_line_QK | near_QK, whole_QK

    def block_mask(self, queries: int = BLOCK, keys: int = BLOCK) -> BlockMask:
        """The pattern for `flex_attention` in blocks of so many places, which must divide their number. In blocks that are
        seen whole, nobody asks the predicate. Its own words name `BLOCK` where they are smaller (`flex_options`)."""
        seen_QK, whole_QK = self.blocks(queries, keys)
        partly_QK, length = seen_QK & ~whole_QK, len(self.value_T)
        kv_num_blocks, kv_indices = listed(partly_QK)
        full_kv_num_blocks, full_kv_indices = listed(whole_QK)
        q_num_blocks, q_indices = listed(partly_QK.T)
        full_q_num_blocks, full_q_indices = listed(whole_QK.T)
        return BlockMask(
            seq_lengths=(length, length),
            kv_num_blocks=kv_num_blocks,
            kv_indices=kv_indices,
            full_kv_num_blocks=full_kv_num_blocks,
            full_kv_indices=full_kv_indices,
            q_num_blocks=q_num_blocks,
            q_indices=q_indices,
            full_q_num_blocks=full_q_num_blocks,
            full_q_indices=full_q_indices,
            BLOCK_SIZE=(max(queries, BLOCK), max(keys, BLOCK)),
            mask_mod=self.predicate(),
        )


def listed(block_QK: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries has, and their numbers first in its row, as `BlockMask` takes them. Their
    places are counted: to sort rows takes a GPU longer."""
    so_far_QK = block_QK.cumsum(1, dtype=torch.int32)
    key_QK = torch.arange(block_QK.shape[1], device=block_QK.device, dtype=torch.int32).expand_as(so_far_QK)
    place_QK = torch.where(block_QK, so_far_QK - 1, so_far_QK[:, -1:] + key_QK - so_far_QK)
    order_QK = torch.empty_like(so_far_QK).scatter_(1, place_QK.long(), key_QK)
    return so_far_QK[None, None, :, -1].contiguous(), order_QK[None, None]


@dataclass
class Flat:
    """Input ids [1, T], canvas positions [1, T], labels [T], weights of each named loss [T], the pattern; how many rows
    and tokens are there (tensors without dimensions)."""

    input_1T: Tensor
    index_1T: Tensor
    label_T: Tensor
    weights: dict[str, Tensor]
    intervals: Intervals
    rows: Tensor
    tokens: Tensor


def flatten(streams: Streams, capacity: int) -> Flat:
    """The first rows that fit `capacity` tokens together, without their absent tokens; places behind them see themselves.

    The size of nothing depends on the data, so that no step waits for the device. Weights are those of a mean over rows.
    """
    tokens = streams.tokens
    present_BN = tokens.stream_BN != Stream.ABSENT
    stop_B = present_BN.sum(1).cumsum(0)
    fits_B = stop_B <= capacity
    kept_BN = present_BN & fits_B[:, None]
    place_BN = torch.where(kept_BN, present_BN.flatten().cumsum(0).view_as(present_BN) - 1, capacity)
    rows = fits_B.sum()

    def place(value_BN: Tensor, fill: int | float) -> Tensor:
        placed = value_BN.new_full((capacity + 1,), fill)
        return placed.scatter_(0, place_BN.flatten(), value_BN.flatten())[:capacity]

    value_BN, low_BN, high_BN = on_line(tokens)
    first_BN, last_BN = runs(tokens, place_BN)
    here_T = torch.arange(capacity, device=place_BN.device, dtype=torch.int32)
    placed_T = here_T < kept_BN.sum()

    def run(value_BN: Tensor) -> Tensor:
        return torch.where(placed_T, place(value_BN.int(), 0), here_T)

    # behind all tokens an empty run whose bounds widen those of no block: (BEHIND, NOWHERE]
    intervals = Intervals(
        place(value_BN, NOWHERE), place(low_BN, BEHIND), place(high_BN, NOWHERE), run(first_BN), run(last_BN)
    )
    return Flat(
        place(streams.input_BN, 0)[None],
        place(tokens.index_BN, 0)[None],
        place(streams.label_BN, 0),
        {name: place(weight_BN, 0.0) / rows for name, weight_BN in streams.weights.items()},
        intervals,
        rows,
        kept_BN.sum(),
    )


def revealed_last(streams: Streams) -> Streams:
    """The same tokens in other columns: of each context the revealed ones behind the masks, as on the line. What a query sees
    of context and references is then one run of places, so that blocks are seen whole or not at all but at its two ends."""
    tokens = streams.tokens
    is_context_BN = tokens.stream_BN == Stream.CONTEXT
    part_BN = torch.where(is_context_BN, torch.where(tokens.rank_BN == REVEALED, 1, 0), 2)
    column_BN = part_BN.argsort(dim=1, stable=True)

    def moved(value_BN: Tensor) -> Tensor:
        return value_BN.gather(1, column_BN)

    return Streams(
        moved(streams.input_BN),
        PackedTokens(*map(moved, vars(tokens).values())),
        moved(streams.label_BN),
        {name: moved(weight_BN) for name, weight_BN in streams.weights.items()},
    )


def on_line(tokens: PackedTokens) -> tuple[Tensor, Tensor, Tensor]:
    """Value, low and high [B, N] of every token, int32. A row takes as much of the line as it has ranks, not columns, so that
    the rows of a flat one end before `ASIDE` however long the longest canvas is."""
    is_context_BN = tokens.stream_BN == Stream.CONTEXT
    is_reference_BN = tokens.stream_BN == Stream.REFERENCE
    ranked_BN = tokens.rank_BN.masked_fill(tokens.stream_BN == Stream.ABSENT, REVEALED)
    revealed_B1 = ranked_BN.amax(1, keepdim=True) + 1  # above every rank
    context_BN = torch.where(tokens.rank_BN == REVEALED, revealed_B1, tokens.rank_BN)
    value_BN = torch.where(is_context_BN, context_BN, revealed_B1 + 1 + tokens.rank_BN)
    low_BN = torch.where(is_context_BN, -1, tokens.rank_BN)
    high_BN = torch.where(is_context_BN, revealed_B1, revealed_B1 + tokens.limit_BN)
    size_B1 = 2 * revealed_B1 + 2
    start_B1 = 1 + size_B1.cumsum(0) - size_B1
    value_BN = torch.where(is_context_BN | is_reference_BN, start_B1 + value_BN, NOWHERE)
    return value_BN.int(), (start_B1 + low_BN).int(), (start_B1 + high_BN).int()


def runs(tokens: PackedTokens, place_BN: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place [B, N] of the run that each token sees: a draft's group up to its rank, else itself."""
    is_draft_BN = tokens.stream_BN == Stream.DRAFT
    # members of a group lie one behind another in the order of their ranks, so it starts where limit or rank last changed
    B, N = place_BN.shape
    column_N = torch.arange(N, device=place_BN.device).expand(B, N)
    new_group_BN = changes(tokens.limit_BN) | changes(is_draft_BN)
    new_rank_BN = new_group_BN | changes(tokens.rank_BN)
    first_BN = torch.where(new_group_BN, column_N, 0).cummax(1).values
    next_BN = torch.where(new_rank_BN, column_N, N)
    last_BN = torch.cat([next_BN[:, 1:], torch.full_like(next_BN[:, :1], N)], 1).flip(1).cummin(1).values.flip(1) - 1
    first_BN, last_BN = place_BN.gather(1, first_BN), place_BN.gather(1, last_BN)
    return torch.where(is_draft_BN, first_BN, place_BN), torch.where(is_draft_BN, last_BN, place_BN)


def changes(value_BN: Tensor) -> Tensor:
    """True where a value differs from the one before it, and in the first column."""
    changed_BN = torch.ones_like(value_BN, dtype=torch.bool)
    changed_BN[:, 1:] = value_BN[:, 1:] != value_BN[:, :-1]
    return changed_BN
