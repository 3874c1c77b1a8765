"""The tokens of a pass, as `fef.engine.rounds` composes them, and the `end_rules` at its queries, in one launch.

One program per row, which reads its slot where it lies in the state. A program first chooses the anchors, then handles all
queries of the row side by side, one lane each. Of trees it knows chains: one candidate of each depth.

Shapes: S slots, L context places, R ranks, K drafts kept between rounds, B rows, W window, X = W + 1, A anchors, G = A + 1
groups, D group depth, Q = X + G (D - 1) queries, N tokens: X, or those of the context, and Q; M = B Q.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState
from fef.laws.window import LEAST_END, SURVIVAL
from fef.models.packed_pass import RoundShape

__all__ = ["PassInputs", "compose"]

_BLOCK = 512  # context tokens at once
_WARPS = 4


@dataclass
class PassInputs:
    """What the other kernels of a pass read, per token and per query (the last Q tokens of a row; all rows' in one axis M).

    ids, positions, seeds, steps and what is per row are int64, valid is bool, the others int32, temperatures float64.
    """

    ids_BN: Tensor  # tokens
    position_BN: Tensor  # on the canvas
    place_BN: Tensor  # where keys and values go in the cache
    slot_BN: Tensor  # of the row
    valid_BN: Tensor  # is it a token?
    rank_BN: Tensor  # see `PassTokens`
    limit_BN: Tensor  # see `PassTokens`
    group_BN: Tensor  # see `PassTokens`
    width_B: Tensor  # drafts in the window
    start_BG: Tensor  # see `PassTokens`
    seed_M: Tensor  # key of the random numbers, with position and step
    query_position_M: Tensor  # on the canvas
    step_M: Tensor  # the denoising pass
    temperature_M: Tensor  # 0: greedy
    forced_M: Tensor  # the end token is certain
    forbidden_M: Tensor  # the end token is impossible
    query_valid_M: Tensor  # is it a query?


def compose(
    state: SlotState, slot_B: Tensor, shape: RoundShape, mask_id: int, eos_id: int | None, context: int = 0
) -> PassInputs:
    """What a pass over these slots holds. slot_B: int64. context: canvas places that a context pass computes; 0: a round."""
    assert not context or (shape.window == 0 and shape.anchors == 0), "nothing is drafted before the context is known"
    table, B, device = state.table, len(slot_B), slot_B.device
    assert shape.window <= table.drafts, "the state keeps fewer drafts than the window has"
    assert shape.branching == table.branching == 1, "the kernels run chains"
    Q, lead = shape.queries, context or shape.window + 1
    N = lead + Q

    def new(size: tuple[int, ...], dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    small, flag = torch.int32, torch.bool
    inputs = PassInputs(
        ids_BN=new((B, N)),
        position_BN=new((B, N)),
        place_BN=new((B, N), small),
        slot_BN=new((B, N), small),
        valid_BN=new((B, N), flag),
        rank_BN=new((B, N), small),
        limit_BN=new((B, N), small),
        group_BN=new((B, N), small),
        width_B=new((B,)),
        start_BG=new((B, shape.groups)),
        seed_M=new((B * Q,)),
        query_position_M=new((B * Q,)),
        step_M=new((B * Q,)),
        temperature_M=new((B * Q,), torch.float64),
        forced_M=new((B * Q,), flag),
        forbidden_M=new((B * Q,), flag),
        query_valid_M=new((B * Q,), flag),
    )
    _compose_kernel[(B,)](
        slot_B,
        pointers(state),
        pointers(inputs),
        mask_id,
        -1 if eos_id is None else eos_id,
        HAS_EOS=eos_id is not None,
        CONTEXT=context,
        LEAD=lead,
        WINDOW=shape.window,
        ANCHORS=shape.anchors,
        BEHIND=max(shape.depth - 1, 1),
        Q=Q,
        L=table.context,
        R=table.ranks,
        K=table.drafts,
        NOWHERE=table.nowhere,
        WORTH=SURVIVAL,
        LEAST=LEAST_END,
        LANES_X=triton.next_power_of_2(shape.window + 1),
        LANES_Q=triton.next_power_of_2(Q),
        BLOCK=_BLOCK,
        num_warps=_WARPS,
        enable_fp_fusion=False,  # the drops of `_drops` as they are rounded in `fef.laws.window`
    )
    return inputs


@triton.jit
def _positions(order, rank, R: tl.constexpr):
    """Canvas positions of ranks of a slot; of ranks outside the table, some position."""
    return tl.load(order + tl.minimum(tl.maximum(rank, 0), R - 1))


@triton.jit
def _store_tokens(inputs, at, slot, mask, ids, position, place, valid, rank, limit, group, NOWHERE: tl.constexpr):
    tl.store(inputs.ids + at, ids, mask=mask)
    tl.store(inputs.position + at, position, mask=mask)
    tl.store(inputs.place + at, tl.where(valid, place, NOWHERE).to(tl.int32), mask=mask)
    tl.store(inputs.slot + at, slot.to(tl.int32), mask=mask)
    tl.store(inputs.valid + at, valid.to(tl.uint8), mask=mask)
    tl.store(inputs.rank + at, rank.to(tl.int32), mask=mask)
    tl.store(inputs.limit + at, tl.where(valid, limit, 0).to(tl.int32), mask=mask)
    tl.store(inputs.group + at, tl.where(valid, group, -1).to(tl.int32), mask=mask)


@triton.jit
def _store_context(
    inputs, row_start, slot, ids, length, live, CONTEXT: tl.constexpr, NOWHERE: tl.constexpr, BLOCK: tl.constexpr
):
    """The canvas. length, live: of this slot."""
    for start in range(0, CONTEXT, BLOCK):
        index = start + tl.arange(0, BLOCK)
        mask = index < CONTEXT
        valid = (index < length) & live
        token = tl.load(ids + index, mask=mask, other=0)
        zero = index * 0
        _store_tokens(
            inputs, row_start + index, slot, mask, token, index, index, valid, zero - 2, zero, zero - 1, NOWHERE
        )


@triton.jit
def _references(ids, order, draft, done, live, width, WINDOW: tl.constexpr, R: tl.constexpr, LANES_X: tl.constexpr):
    """The last committed token, if there is one, and the drafts of the window: ids, positions, validity."""
    lane = tl.arange(0, LANES_X)
    position = _positions(order, done - 1 + lane, R)
    committed = tl.load(ids + position, mask=lane == 0, other=0)
    drafts = tl.load(draft + lane - 1, mask=(lane > 0) & (lane <= WINDOW), other=0)
    valid = tl.where(lane == 0, live & (done > 0), lane <= width)
    return tl.where(lane == 0, committed, drafts), position, valid


@triton.jit
def _drops(holds, width, WINDOW: tl.constexpr, LANES_X: tl.constexpr):
    """By how much each place of the window lowers the chance that a round comes that far [X].

    Multiplied one after the other: a scan would round the products otherwise.
    """
    lane = tl.arange(0, LANES_X)
    drops = tl.zeros((LANES_X,), tl.float64)
    reached = tl.full((), 1.0, tl.float64)
    for place in tl.static_range(WINDOW):
        before = reached
        reached = tl.where(place < width, before * tl.load(holds + place), before)
        drops = tl.where(lane == place, before - reached, drops)
    return drops


@triton.jit
def _seen_ends(
    order,
    draft,
    first_end,
    last_other,
    done,
    width,
    seen,
    eos_id,
    WINDOW: tl.constexpr,
    R: tl.constexpr,
):
    """First end token and last other token among the committed ones and the first `seen` drafts of the window."""
    first = seen * 0 + first_end
    last = seen * 0 + last_other
    for place in tl.static_range(WINDOW):
        position = _positions(order, done + place, R)
        is_end = tl.load(draft + place) == eos_id
        sees = (place < seen) & (place < width)
        first = tl.where(sees & is_end, tl.minimum(first, position), first)
        last = tl.where(sees & (is_end == 0), tl.maximum(last, position), last)
    return first, last


@triton.jit
def _worthwhile(holds, WINDOW: tl.constexpr, WORTH: tl.constexpr):
    """How many drafts are reached with a chance of at least WORTH (`fef.laws.tree.chain`); multiplied one after the other, as
    there."""
    reached = tl.full((), 1.0, tl.float64)
    count = tl.full((), 0, tl.int64)
    for place in tl.static_range(WINDOW):
        count += (reached >= WORTH).to(tl.int64)
        reached *= tl.load(holds + place)
    return count


@triton.jit
def _compose_kernel(
    slots,
    state,
    inputs,
    mask_id,
    eos_id,
    HAS_EOS: tl.constexpr,
    CONTEXT: tl.constexpr,
    LEAD: tl.constexpr,
    WINDOW: tl.constexpr,
    ANCHORS: tl.constexpr,
    BEHIND: tl.constexpr,
    Q: tl.constexpr,
    L: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    NOWHERE: tl.constexpr,
    WORTH: tl.constexpr,
    LEAST: tl.constexpr,
    LANES_X: tl.constexpr,
    LANES_Q: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # Loads first: none is moved before a store that might be to the same place, and each wait is as long as all the rest.
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    live = tl.load(state.live + slot) != 0
    done, opened = tl.load(state.done + slot), tl.load(state.open + slot)
    length, drafted = tl.load(state.length + slot), tl.load(state.drafted + slot)
    first_end, last_other = tl.load(state.first_end + slot), tl.load(state.last_other + slot)
    seed, step = tl.load(state.seed + slot), tl.load(state.step + slot)
    temperature = tl.load(state.temperature + slot)
    ids = state.ids + slot * (L + 1)
    order = state.order + slot * R
    draft = state.draft + slot * K
    row_start = row * (LEAD + Q)
    width = tl.minimum(tl.minimum(drafted, WINDOW), tl.where(live, opened - done, 0))
    width = tl.minimum(width, _worthwhile(state.holds + slot * K, WINDOW, WORTH))

    # group 0 starts behind the window, the others where the largest drops are
    query = tl.arange(0, LANES_Q)
    is_target = query <= WINDOW
    extra = tl.maximum(query - WINDOW - 1, 0)
    group = extra // BEHIND
    start = query * 0 + width
    x = tl.arange(0, LANES_X)  # there are no more groups than places of the window
    begins = x * 0 + width
    if ANCHORS > 0:
        drops = _drops(state.holds + slot * K, width, WINDOW, LANES_X)
        for anchor in tl.static_range(ANCHORS):
            most = tl.max(drops)
            place = tl.min(tl.where(drops == most, x, LANES_X))
            drops = tl.where(x == place, -1.0, drops)
            begin = tl.where(most > LEAST, place, -1).to(tl.int64)
            begins = tl.where(x == anchor + 1, begin, begins)
            start = tl.where(group == anchor + 1, begin, start)

    mask = query < Q
    state_seen = tl.where(is_target, query, tl.maximum(start, 0))
    rank = done + state_seen + tl.where(is_target, 0, extra % BEHIND + 1)
    limit = done + state_seen
    valid = live & tl.where(is_target, query <= width, start >= 0) & (rank < opened)
    position = _positions(order, rank, R)
    forced = query < 0
    forbidden = forced
    if HAS_EOS:
        first, last = _seen_ends(order, draft, first_end, last_other, done, width, state_seen, eos_id, WINDOW, R)
        forced = position > first
        forbidden = (position < last) & (forced == 0)

    if CONTEXT > 0:
        _store_context(inputs, row_start, slot, ids, length, live, CONTEXT, NOWHERE, BLOCK)
    else:
        token, at, is_real = _references(ids, order, draft, done, live, width, WINDOW, R, LANES_X)
        behind = done - 1 + x
        no_group = x * 0 - 1
        _store_tokens(
            inputs,
            row_start + x,
            slot,
            x <= WINDOW,
            token,
            at,
            L + behind,
            is_real,
            behind,
            done + x,
            no_group,
            NOWHERE,
        )
    at = row_start + LEAD + query
    masks = query * 0 + mask_id
    _store_tokens(inputs, at, slot, mask, masks, position, L + R + query, valid, rank, limit, state_seen, NOWHERE)
    at = row * Q + query
    tl.store(inputs.seed + at, seed, mask=mask)
    tl.store(inputs.query_position + at, position, mask=mask)
    tl.store(inputs.step + at, step, mask=mask)
    tl.store(inputs.temperature + at, temperature, mask=mask)
    tl.store(inputs.forced + at, forced.to(tl.uint8), mask=mask)
    tl.store(inputs.forbidden + at, forbidden.to(tl.uint8), mask=mask)
    tl.store(inputs.query_valid + at, valid.to(tl.uint8), mask=mask)
    tl.store(inputs.width + row, width)
    tl.store(inputs.start + row * (ANCHORS + 1) + x, begins, mask=x <= ANCHORS)
