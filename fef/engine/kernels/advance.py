"""After a pass, in one launch: acceptance, commits and the next drafts, as `fef.engine.advance.advance` has them.

One program per row, which writes its slot where it lies in the state. Rows that are not live write nothing, so a slot that is
not live may stand in many rows.

Each program is one warp: all that it reads of the state it has read before it writes there, without a barrier.

Shapes: as in `compose`.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.kernels.compose import PassInputs
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import COUNTERS, SlotState
from fef.models.packed_pass import RoundShape

__all__ = ["advance"]

_TOKENS = 1024  # looked at at once
_RANKS = 256


def advance(
    state: SlotState, slot_B: Tensor, inputs: PassInputs, drawn: Drawn, shape: RoundShape, eos_id: int | None
) -> None:
    """Move these slots on, in place. slot_B: int64; live slots occur once. drawn: M numbers each, in the order of the
    queries; what stands at queries that are not valid does not matter."""
    table, N, M = state.table, inputs.ids_BN.shape[1], len(slot_B) * shape.queries
    assert all(x.is_contiguous() and x.numel() == M for x in vars(drawn).values()), "one number per query"
    _advance_kernel[(len(slot_B),)](
        slot_B,
        pointers(state),
        pointers(drawn),
        pointers(inputs),
        -1 if eos_id is None else eos_id,
        HAS_EOS=eos_id is not None,
        N=N,
        Q=shape.queries,
        WINDOW=shape.window,
        GROUPS=shape.groups,
        DEPTH=shape.depth,
        L=table.context,
        R=table.ranks,
        K=table.drafts,
        COUNTS=len(COUNTERS),
        LANES_C=triton.next_power_of_2(len(COUNTERS)),
        LANES_X=triton.next_power_of_2(shape.window + 1),
        LANES_Q=triton.next_power_of_2(shape.queries),
        LANES_K=triton.next_power_of_2(table.drafts),
        BLOCK_N=min(_TOKENS, triton.next_power_of_2(N)),
        BLOCK_R=_RANKS,
        num_warps=1,
    )


@triton.jit
def _something_left(order, done, opened, first_end, BLOCK: tl.constexpr):
    """Is a position of the ranks from `done` to `opened` before the first end token? Mostly, the first block says so."""
    rank = done
    found = tl.full((), 0, tl.int32)
    while (rank < opened) & (found == 0):
        ranks = rank + tl.arange(0, BLOCK)
        position = tl.load(order + ranks, mask=ranks < opened, other=first_end)
        found = tl.max((position < first_end).to(tl.int32))
        rank += BLOCK
    return found != 0


@triton.jit
def _count(flags, N: tl.constexpr, BLOCK: tl.constexpr):
    """How many of N flags are set."""
    total = tl.full((), 0, tl.int32)
    for start in range(0, N, BLOCK):
        index = start + tl.arange(0, BLOCK)
        total += tl.sum(tl.load(flags + index, mask=index < N, other=0).to(tl.int32))
    return total


@triton.jit
def _sources(
    starts,
    width,
    accepted,
    commit,
    K: tl.constexpr,
    WINDOW: tl.constexpr,
    GROUPS: tl.constexpr,
    DEPTH: tl.constexpr,
    LANES_K: tl.constexpr,
):
    """The queries whose draws are the next drafts, and how many of them are: of the group that starts nearest before the end
    of the round, else of the targets behind it. Groups go on behind the targets of all states."""
    begin = width * 0 - 1
    nearest = begin
    for group in tl.static_range(GROUPS):
        start = tl.load(starts + group)
        nearer = (start <= accepted) & (start > begin)
        begin = tl.where(nearer, start, begin)
        nearest = tl.where(nearer, group, nearest)
    skip = commit - begin
    in_group = (begin >= 0) & (skip < DEPTH)
    k = tl.arange(0, LANES_K)
    number = tl.minimum(tl.maximum(skip + k, 0), DEPTH - 1)
    behind = WINDOW + nearest * (DEPTH - 1) + number
    from_group = tl.where(number == 0, begin, behind)
    target = tl.minimum(commit + k, WINDOW)
    from_targets = tl.where(target <= width, target, 0)
    count = tl.where(in_group, DEPTH - skip, tl.maximum(width - commit, 0))
    return tl.where(in_group, from_group, from_targets), tl.minimum(count, K)


@triton.jit
def _advance_kernel(
    slots,
    state,
    drawn,
    inputs,
    eos_id,
    HAS_EOS: tl.constexpr,
    N: tl.constexpr,
    Q: tl.constexpr,
    WINDOW: tl.constexpr,
    GROUPS: tl.constexpr,
    DEPTH: tl.constexpr,
    L: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    COUNTS: tl.constexpr,
    LANES_C: tl.constexpr,
    LANES_X: tl.constexpr,
    LANES_Q: tl.constexpr,
    LANES_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    if tl.load(state.live + slot) == 0:
        return
    # Loads first: none is moved before a store that might be to the same place, and each wait is as long as all the rest.
    done, opened = tl.load(state.done + slot), tl.load(state.open + slot)
    width = tl.load(inputs.width + row)
    bad = tl.load(state.bad + slot) != 0
    first_end, last_other = tl.load(state.first_end + slot), tl.load(state.last_other + slot)
    c = tl.arange(0, LANES_C)
    counters = state.counters + slot * COUNTS + c
    counts = tl.load(counters, mask=c < COUNTS, other=0)
    tokens = _count(inputs.valid + row * N, N, BLOCK_N)
    order = state.order + slot * R
    drafts = state.draft + slot * K
    first_query = row * Q
    q = tl.arange(0, LANES_Q)
    used = tl.load(inputs.query_valid + first_query + q, mask=q < Q, other=0) != 0
    broken = used & (tl.load(drawn.valid + first_query + q, mask=q < Q, other=1) == 0)
    bad = bad | (tl.max(broken.to(tl.int32)) != 0)

    # the draws from `done` on: of the targets
    x = tl.arange(0, LANES_X)
    at = first_query + x
    token = tl.load(drawn.token + at, mask=x <= WINDOW, other=0)
    draft = tl.load(drafts + x, mask=x < width, other=0)
    accepted = tl.min(tl.where((token == draft) & (x < width), LANES_X, x)).to(tl.int64)
    commit = tl.minimum(accepted + 1, width + (opened - done > width).to(tl.int64))

    take = x < commit
    rank = done + x
    position = tl.load(order + rank, mask=take, other=0)
    logp = tl.load(drawn.logp + at, mask=take, other=0.0)
    plain = tl.load(drawn.plain + at, mask=take, other=0.0)
    source, count = _sources(inputs.start + row * GROUPS, width, accepted, commit, K, WINDOW, GROUPS, DEPTH, LANES_K)
    new_draft = tl.load(drawn.token + first_query + source)
    new_holds = tl.load(drawn.holds + first_query + source)
    done += commit
    if HAS_EOS:
        is_end = token == eos_id
        first_end = tl.minimum(first_end, tl.min(tl.where(take & is_end, position, first_end)))
        last_other = tl.maximum(last_other, tl.max(tl.where(take & (is_end == 0), position, -1)))
        left = _something_left(order, done, opened, first_end, BLOCK_R)
    else:
        left = done < opened

    tl.store(state.ids + slot * (L + 1) + position, token, mask=take)
    tl.store(state.logprob + slot * (R + 1) + rank, logp, mask=take)
    tl.store(state.confidence + slot * (R + 1) + rank, plain, mask=take)
    tl.store(state.done + slot, done)
    tl.store(state.live + slot, (left & (bad == 0)).to(tl.uint8))
    tl.store(state.bad + slot, bad.to(tl.uint8))
    tl.store(state.first_end + slot, first_end)
    tl.store(state.last_other + slot, last_other)
    k = tl.arange(0, LANES_K)
    tl.store(drafts + k, new_draft, mask=k < K)
    tl.store(state.holds + slot * K + k, new_holds, mask=k < K)
    tl.store(state.drafted + slot, tl.minimum(count, tl.maximum(opened - done, 0)))
    # in the order of `COUNTERS`: calls, token forwards, rounds, drafts, those accepted
    accepts = tl.where(c == 4, accepted, 0) + tl.where(c == 3, width, 0)
    passes = tl.where(c == 2, (width > 0).to(tl.int64), 0) + tl.where(c == 1, tokens, 0) + (c == 0).to(tl.int64)
    tl.store(counters, counts + accepts + passes, mask=c < COUNTS)
