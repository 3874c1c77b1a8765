"""The tokens of a pass, as `fef.engine.rounds` composes them, and the `end_rules` at its queries, in one launch.

One program per row, which reads its slot where it lies in the state. A program first chooses the nodes of the tree, best
first: the best child of any state that is in the tree is the next node, until there are enough. Where a draft head grew the
tree, it reads the nodes instead. What a node inherits from its parent, as the end tokens on its path, is looked up in vectors
of a lane per state. Then it chooses where groups start, and handles all queries of the row side by side, one lane each.

Shapes: S slots, L context places, R ranks, K depths of drafts kept between rounds, C candidates of a depth, B rows, W nodes,
X = W + 1 states, D depths of the tree, A anchors, G = A + 1 groups, Q queries, N tokens: X, or those of the context, and Q;
M = B Q, or B X where drafts are made by a head.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState
from fef.laws.window import LEAST_END, least_chance
from fef.models.packed_pass import RoundShape

__all__ = ["compose"]

_BLOCK = 512  # context tokens at once
_CONTEXT_WARPS = 4


def compose(
    state: SlotState, slot_B: Tensor, shape: RoundShape, mask_id: int, eos_id: int | None, context: int = 0
) -> PassInputs:
    """What a pass over these slots holds. slot_B: int64. context: canvas places that a context pass computes; 0: a round."""
    assert not context or (shape.window == 0 and shape.anchors == 0), "nothing is drafted before the context is known"
    table, B, device = state.table, len(slot_B), slot_B.device
    given = shape.head
    assert not given or shape.window <= table.nodes, "the state keeps fewer nodes than the window has"
    assert given or shape.branching > 1 or shape.window <= table.drafts, (
        "the state keeps fewer drafts than the window has"
    )
    assert given or shape.branching <= table.branching, "the state keeps fewer candidates than the tree has branches"
    Q, lead = shape.queries, context or shape.states
    N, M = lead + Q, B * (shape.states if given else Q)

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
        seen_BN=new((B, N)),
        width_B=new((B,)),
        parent_BX=new((B, shape.states)),
        depth_BX=new((B, shape.states)),
        start_BG=new((B, shape.groups)),
        seed_M=new((M,)),
        query_position_M=new((M,)),
        step_M=new((M,)),
        temperature_M=new((M,), torch.float64),
        forced_M=new((M,), flag),
        forbidden_M=new((M,), flag),
        query_valid_M=new((M,), flag),
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
        BRANCHING=shape.branching,
        DEPTHS=min(shape.deepest, table.drafts),
        ANCHORS=shape.anchors,
        BEHIND=max(shape.depth - 1, 1),
        Q=Q,
        DRAWN=M // B,
        L=table.context,
        R=table.ranks,
        K=table.drafts,
        KEPT=table.branching,
        NODES=table.nodes if given else 0,
        NOWHERE=table.nowhere,
        WORTH=least_chance(shape.branching),
        LEAST=LEAST_END,
        LANES_X=triton.next_power_of_2(shape.states),
        LANES_M=triton.next_power_of_2(max(1, shape.window * shape.branching)),
        LANES_Q=triton.next_power_of_2(Q),
        BLOCK=_BLOCK,
        num_warps=_CONTEXT_WARPS if context else 1,
        enable_fp_fusion=False,  # chances as they are rounded in `fef.laws.tree`
    )
    return inputs


@triton.jit
def _positions(order, rank, R: tl.constexpr):
    """Canvas positions of ranks of a slot; of ranks outside the table, some position."""
    return tl.load(order + tl.minimum(tl.maximum(rank, 0), R - 1))


@triton.jit
def _store_tokens(inputs, at, slot, mask, ids, position, place, valid, rank, limit, group, seen, NOWHERE: tl.constexpr):
    tl.store(inputs.ids + at, ids, mask=mask)
    tl.store(inputs.position + at, position, mask=mask)
    tl.store(inputs.place + at, tl.where(valid, place, NOWHERE).to(tl.int32), mask=mask)
    tl.store(inputs.slot + at, slot.to(tl.int32), mask=mask)
    tl.store(inputs.valid + at, valid.to(tl.uint8), mask=mask)
    tl.store(inputs.rank + at, rank.to(tl.int32), mask=mask)
    tl.store(inputs.limit + at, tl.where(valid, limit, 0).to(tl.int32), mask=mask)
    tl.store(inputs.group + at, tl.where(valid, group, -1).to(tl.int32), mask=mask)
    tl.store(inputs.seen + at, tl.where(valid, seen, 0), mask=mask)


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
            inputs, row_start + index, slot, mask, token, index, index, valid, zero - 2, zero, zero - 1,
            zero.to(tl.int64), NOWHERE,
        )  # fmt: skip


@triton.jit
def _at(values, lane, index):
    """The number in a lane."""
    return tl.sum(tl.where(lane == index, values, 0))


@triton.jit
def _of_states(values, lane, WINDOW: tl.constexpr):
    """The numbers in these lanes."""
    if WINDOW == 0:
        return lane * 0 + tl.max(values)
    return tl.gather(values, lane, 0)


@triton.jit
def _divided(lane, size: tl.constexpr):
    """Quotient and remainder, by way of float32, which is exact below 2^20.

    Of // and % of lanes LLVM knows that the numbers are small, and works out two of them at once, as pairs of 16 bits. What
    is added to such pairs, ptxas 12.8 and 12.9 may leave out on Hopper. LLVM knows nothing of a number that was a float.
    """
    if size == 1:
        return lane, lane * 0
    quotient = ((lane.to(tl.float32) + 0.5) * (1.0 / size)).to(tl.int32)
    return quotient, lane - quotient * size


@triton.jit
def _chances(holds, candidate, chance, depth, limit, KEPT: tl.constexpr, WORTH: tl.constexpr):
    """Chances of the children of a state; -1 of those that are not worth a place (`fef.laws.growth.best_tree`)."""
    there = (candidate * 0.0 + chance >= WORTH) & (candidate * 0 + depth < limit)
    hold = tl.load(holds + depth * KEPT + candidate, mask=there, other=0.0)
    return tl.where(there & ((candidate == 0) | (hold > 0)), chance * hold, -1.0)


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
    BRANCHING: tl.constexpr,
    DEPTHS: tl.constexpr,
    ANCHORS: tl.constexpr,
    BEHIND: tl.constexpr,
    Q: tl.constexpr,
    DRAWN: tl.constexpr,
    L: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    KEPT: tl.constexpr,
    NODES: tl.constexpr,
    NOWHERE: tl.constexpr,
    WORTH: tl.constexpr,
    LEAST: tl.constexpr,
    LANES_X: tl.constexpr,
    LANES_M: tl.constexpr,
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
    draft = state.draft + slot * (K * KEPT)
    holds = state.holds + slot * (K * KEPT)
    row_start = row * (LEAD + Q)
    limit = tl.minimum(tl.minimum(drafted, DEPTHS), tl.where(live, opened - done, 0))

    # of each state: a lane
    x = tl.arange(0, LANES_X).to(tl.int64)
    root = x == 0
    parent, depth, follows, bits = x * 0, x * 0, x * 0, x * 0
    on_stem, there = root, root
    ends = tl.where(root, 1.0, 0.0).to(tl.float64)
    first, last = x * 0 + first_end, x * 0 + last_other
    position = x * 0 + _positions(order, done - 1, R)
    token = tl.where(root, tl.load(ids + _positions(order, done - 1, R)), 0)

    # of each child that the tree may have next: candidate c of state s in lane s * BRANCHING + c
    m = tl.arange(0, LANES_M).to(tl.int64)
    of_state, candidate = m // BRANCHING, m % BRANCHING
    child_depth = m * 0
    certain, none = tl.full((), 1.0, tl.float64), tl.full((), 0, tl.int64)
    worth = tl.where(of_state == 0, _chances(holds, candidate, certain, none, limit, KEPT, WORTH), -1.0)
    # of the last node: what the next one of a chain inherits
    CHAIN: tl.constexpr = BRANCHING == 1 and NODES == 0
    reached, above_on_stem, above_follows, above_bits = certain, none == 0, none, none
    above_first, above_last = first_end, last_other
    for node in range(WINDOW):
        number = none + node
        if NODES > 0:
            best = tl.where(live, tl.load(state.node_chance + slot * NODES + node), -1.0)
            found = best >= 0
            father = tl.load(state.node_parent + slot * NODES + node)
            which = tl.load(state.node_candidate + slot * NODES + node)
            level = tl.load(state.node_depth + slot * NODES + node)
            drafted_token = tl.load(state.node_token + slot * NODES + node)
        elif CHAIN:
            best = _chances(holds, none, reached, number, limit, KEPT, WORTH)
            found = best >= 0
            father, which, level = number, none, number + 1
            drafted_token = tl.load(draft + number * KEPT)
        else:
            best = tl.max(worth)
            found = best >= 0
            depth_of_best = tl.min(tl.where(worth == best, child_depth, K))
            child = tl.min(tl.where((worth == best) & (child_depth == depth_of_best), m, LANES_M))
            worth = tl.where(m == child, -1.0, worth)
            father, which = child // BRANCHING, child % BRANCHING
            level = _at(depth, x, father) + 1
            drafted_token = tl.load(draft + (level - 1) * KEPT + which, mask=(level <= K), other=0)
        at = _positions(order, done - 1 + level, R)
        if not CHAIN:
            above_on_stem = _at(on_stem.to(tl.int64), x, father) != 0
            above_follows, above_bits = _at(follows, x, father), _at(bits, x, father)
        stays = found & (which == 0) & above_on_stem
        new = x == number + 1
        parent = tl.where(new, father, parent)
        depth = tl.where(new, level, depth)
        position = tl.where(new, at, position)
        token = tl.where(new, drafted_token, token)
        there = there | (new & found)
        on_stem = on_stem | (new & stays)
        own_follows = tl.where(stays, level, above_follows)
        follows = tl.where(new, own_follows, follows)
        own_bits = above_bits | tl.where(found & (stays == 0), (none + 1) << number, 0)
        bits = tl.where(new, own_bits, bits)
        ends = tl.where(new & found, best, tl.where(found & (x == father), ends - best, ends))
        if HAS_EOS:
            is_end = drafted_token == eos_id
            if not CHAIN:
                above_first, above_last = _at(first, x, father), _at(last, x, father)
            own_first = tl.where(found & is_end, tl.minimum(above_first, at), above_first)
            own_last = tl.where(found & (is_end == 0), tl.maximum(above_last, at), above_last)
            first, last = tl.where(new, own_first, first), tl.where(new, own_last, last)
            if CHAIN:
                above_first, above_last = own_first, own_last
        if CHAIN:
            reached, above_on_stem, above_follows = tl.where(found, best, -1.0), stays, own_follows
        elif NODES == 0:
            own = of_state == number + 1
            worth = tl.where(own & found, _chances(holds, candidate, best, level, limit, KEPT, WORTH), worth)
            child_depth = tl.where(own, level, child_depth)

    # group 0 starts at the end of the stem, the others where the round most likely ends
    last_on_stem = tl.max(tl.where(on_stem, depth, -1))
    stem_end = tl.min(tl.where(on_stem & (depth == last_on_stem), x, LANES_X))
    query = tl.arange(0, LANES_Q)
    is_target = query <= WINDOW
    extra = tl.maximum(query - WINDOW - 1, 0)
    group, number = _divided(extra, BEHIND)
    start = query.to(tl.int64) * 0 + stem_end
    begins = x * 0 + stem_end  # there are no more groups than states
    if ANCHORS > 0:
        left = tl.where(there & (x != stem_end), ends, 0.0)
        for anchor in tl.static_range(ANCHORS):
            most = tl.max(left)
            place = tl.min(tl.where(left == most, x, LANES_X))
            left = tl.where(x == place, -1.0, left)
            begin = tl.where(most > LEAST, place, -1)
            begins = tl.where(x == anchor + 1, begin, begins)
            start = tl.where(group == anchor + 1, begin, start)

    mask = query < Q
    seen_state = tl.where(is_target, query.to(tl.int64), tl.maximum(start, 0))
    lane = seen_state.to(tl.int32)
    rank = done + _of_states(depth, lane, WINDOW) + tl.where(is_target, 0, number + 1)
    query_limit = done + _of_states(follows, lane, WINDOW)
    is_there = _of_states(there.to(tl.int32), lane, WINDOW) != 0
    valid = live & is_there & (is_target | (start >= 0)) & (rank < opened)
    query_position = _positions(order, rank, R)
    forced = query < 0
    forbidden = forced
    if HAS_EOS:
        forced = query_position > _of_states(first, lane, WINDOW)
        forbidden = (query_position < _of_states(last, lane, WINDOW)) & (forced == 0)

    if CONTEXT > 0:
        _store_context(inputs, row_start, slot, ids, length, live, CONTEXT, NOWHERE, BLOCK)
    else:
        behind = done - 1 + depth
        real = tl.where(root, live & (done > 0), there)
        place = tl.where(on_stem, L + behind, L + R + Q - 1 + x)
        no_group = x * 0 - 1
        _store_tokens(
            inputs, row_start + x, slot, x <= WINDOW, token, position, place, real, behind, done + follows, no_group, bits,
            NOWHERE,
        )  # fmt: skip
    at = row_start + LEAD + query
    masks = query.to(tl.int64) * 0 + mask_id
    query_bits = _of_states(bits, lane, WINDOW)
    _store_tokens(
        inputs,
        at,
        slot,
        mask,
        masks,
        query_position,
        L + R + query,
        valid,
        rank,
        query_limit,
        seen_state,
        query_bits,
        NOWHERE,
    )
    at, mask = row * DRAWN + query, query < DRAWN
    tl.store(inputs.seed + at, seed, mask=mask)
    tl.store(inputs.query_position + at, query_position, mask=mask)
    tl.store(inputs.step + at, step, mask=mask)
    tl.store(inputs.temperature + at, temperature, mask=mask)
    tl.store(inputs.forced + at, forced.to(tl.uint8), mask=mask)
    tl.store(inputs.forbidden + at, forbidden.to(tl.uint8), mask=mask)
    tl.store(inputs.query_valid + at, valid.to(tl.uint8), mask=mask)
    tl.store(inputs.width + row, tl.sum(there.to(tl.int64)) - 1)
    tl.store(inputs.parent + row * (WINDOW + 1) + x, parent, mask=x <= WINDOW)
    tl.store(inputs.depth + row * (WINDOW + 1) + x, depth, mask=x <= WINDOW)
    tl.store(inputs.start + row * (ANCHORS + 1) + x, begins, mask=x <= ANCHORS)
