"""After a pass, in one launch: acceptance, commits and the next drafts, as `fef.engine.advance.advance` has them.

One program per row, which writes its slot where it lies in the state. Rows that are not live write nothing, so a slot that is
not live may stand in many rows.

Each program is one warp: all that it reads of the state it has read before it writes there, without a barrier. A program
walks down the tree: from a state to the child that holds what was drawn there.

Shapes: as in `compose`; T = D + 1 places of a path, at most K + 1; Q numbers of a row that are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import COUNTERS, SlotState
from fef.models.packed_pass import RoundShape

__all__ = ["NextDrafts", "advance"]

_TOKENS = 1024  # looked at at once
_RANKS = 256


@dataclass(frozen=True)
class NextDrafts:
    """Queries at which drafts for the next slots stand, how many there are, and the query whose draw is the last committed
    token, int64: see `fef.engine.advance.Advanced`. 0 in rows that are not live."""

    source_BK: Tensor
    count_B: Tensor
    last_B: Tensor


def advance(
    state: SlotState, slot_B: Tensor, inputs: PassInputs, drawn: Drawn, shape: RoundShape, eos_id: int | None
) -> tuple[Tensor, NextDrafts]:
    """Move these slots on, in place. slot_B: int64; live slots occur once. drawn: M numbers each, and C candidates, in the
    order of the queries; what stands at queries that are not valid does not matter.

    Returns int32 [2, B, T]: cache places from which and to which keys have to go (`fef.models.packed_pass.moves`); and what a
    draft head goes on from.
    """
    table, B, N = state.table, len(slot_B), inputs.ids_BN.shape[1]
    drawn_queries = shape.states if shape.head else shape.queries
    M = B * drawn_queries
    sizes = {len(x.view(M, -1)) * x.shape[-1] for x in (drawn.draft, drawn.holds)}
    assert all(x is None or x.is_contiguous() for x in vars(drawn).values()) and sizes == {M * table.branching}, (
        "numbers per query"
    )
    depths = min(shape.deepest, table.drafts)
    move_2BT = torch.empty(2, B, depths + 1, dtype=torch.int32, device=slot_B.device)
    source_BK = torch.empty(B, table.drafts, dtype=torch.int64, device=slot_B.device)
    count_B, last_B = torch.empty(2, B, dtype=torch.int64, device=slot_B.device).unbind(0)
    drafts = NextDrafts(source_BK, count_B, last_B)
    _advance_kernel[(B,)](
        slot_B,
        pointers(state),
        pointers(drawn),
        pointers(inputs),
        move_2BT,
        pointers(drafts),
        -1 if eos_id is None else eos_id,
        HAS_EOS=eos_id is not None,
        B=B,
        N=N,
        Q=drawn_queries,
        WINDOW=shape.window,
        CHAIN=shape.branching == 1,
        DEPTHS=depths,
        GROUPS=shape.groups,
        DEPTH=shape.depth,
        L=table.context,
        R=table.ranks,
        K=table.drafts,
        KEPT=table.branching,
        NODES=table.nodes,
        HEAD=shape.head,
        NOWHERE=table.nowhere,
        COUNTS=len(COUNTERS),
        LANES_C=triton.next_power_of_2(len(COUNTERS)),
        LANES_X=triton.next_power_of_2(shape.states),
        LANES_T=triton.next_power_of_2(depths + 1),
        LANES_Q=triton.next_power_of_2(drawn_queries),
        LANES_K=triton.next_power_of_2(table.drafts),
        LANES_KEPT=triton.next_power_of_2(table.branching),
        LANES_W=triton.next_power_of_2(max(1, table.nodes)),
        BLOCK_N=min(_TOKENS, triton.next_power_of_2(N)),
        BLOCK_R=_RANKS,
        num_warps=1,
    )
    return move_2BT, drafts


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
def _at_each(values, lane, DEPTHS: tl.constexpr):
    """The numbers in these lanes; without nodes there is only the root's."""
    if DEPTHS == 0:
        return lane * 0 + tl.max(values)
    return tl.gather(values, lane.to(tl.int32), 0)


@triton.jit
def _sources(
    starts,
    depths,
    path,
    accepted,
    commit,
    stem_states,
    stem,
    WINDOW: tl.constexpr,
    DEPTHS: tl.constexpr,
    GROUPS: tl.constexpr,
    DEPTH: tl.constexpr,
    LANES_T: tl.constexpr,
    LANES_K: tl.constexpr,
):
    """The queries whose draws are the next drafts, and how many of them are (`fef.laws.window.next_drafts`): of the group
    that starts last on the path, else of the states of the stem behind its end. Groups go on behind all targets."""
    t = tl.arange(0, LANES_T)
    begin = accepted * 0 - 1
    nearest, state = begin, begin
    for group in tl.static_range(GROUPS):
        start = tl.load(starts + group)
        level = tl.load(depths + tl.maximum(start, 0))
        on_path = tl.max(tl.where((t <= accepted) & (path == start), 1, 0)) != 0
        nearer = (start >= 0) & on_path & (level > begin)
        begin = tl.where(nearer, level, begin)
        nearest = tl.where(nearer, group, nearest)
        state = tl.where(nearer, start, state)
    skip = commit - begin
    in_group = (begin >= 0) & (skip < DEPTH)
    k = tl.arange(0, LANES_K)
    number = tl.minimum(tl.maximum(skip + k, 0), DEPTH - 1)
    behind = WINDOW + nearest * (DEPTH - 1) + number
    from_group = tl.where(number == 0, state, behind)
    from_stem = _at_each(stem, tl.minimum(commit + k, DEPTHS), DEPTHS)
    count = tl.where(in_group, DEPTH - skip, tl.maximum(stem_states - 1 - commit, 0))
    return tl.where(in_group, from_group, from_stem), count


@triton.jit
def _advance_kernel(
    slots,
    state,
    drawn,
    inputs,
    moves,
    drafts,
    eos_id,
    HAS_EOS: tl.constexpr,
    B,
    N: tl.constexpr,
    Q: tl.constexpr,
    WINDOW: tl.constexpr,
    CHAIN: tl.constexpr,
    DEPTHS: tl.constexpr,
    GROUPS: tl.constexpr,
    DEPTH: tl.constexpr,
    L: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    KEPT: tl.constexpr,
    NODES: tl.constexpr,
    HEAD: tl.constexpr,
    NOWHERE: tl.constexpr,
    COUNTS: tl.constexpr,
    LANES_C: tl.constexpr,
    LANES_X: tl.constexpr,
    LANES_T: tl.constexpr,
    LANES_Q: tl.constexpr,
    LANES_K: tl.constexpr,
    LANES_KEPT: tl.constexpr,
    LANES_W: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    t = tl.arange(0, LANES_T).to(tl.int64)
    move_from = moves + row * (DEPTHS + 1) + t
    move_to = move_from + B * (DEPTHS + 1)
    next_draft = tl.arange(0, LANES_K)
    sources = drafts.source + row * K + next_draft
    if tl.load(state.live + slot) == 0:
        tl.store(move_from, (t * 0 + NOWHERE).to(tl.int32), mask=t <= DEPTHS)
        tl.store(move_to, (t * 0 + NOWHERE).to(tl.int32), mask=t <= DEPTHS)
        tl.store(sources, next_draft.to(tl.int64) * 0, mask=next_draft < K)
        tl.store(drafts.count + row, row * 0)
        tl.store(drafts.last + row, row * 0)
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
    first_query = row * Q
    q = tl.arange(0, LANES_Q)
    used = tl.load(inputs.query_valid + first_query + q, mask=q < Q, other=0) != 0
    broken = used & (tl.load(drawn.valid + first_query + q, mask=q < Q, other=1) == 0)
    bad = bad | (tl.max(broken.to(tl.int32)) != 0)

    # down the tree, and down the stem: the state of each depth
    x = tl.arange(0, LANES_X).to(tl.int64)
    parents, levels = inputs.parent + row * (WINDOW + 1), inputs.depth + row * (WINDOW + 1)
    if CHAIN:  # the node of each depth is the one behind that of the depth before, and on the stem
        is_above = x < tl.minimum(width, DEPTHS)
        below = tl.load(inputs.ids + row * N + x + 1, mask=is_above, other=-1)
        holds = is_above & (below == tl.load(drawn.token + first_query + x, mask=is_above, other=0))
        accepted = tl.min(tl.where(holds, LANES_X, x))
        path, stem = tl.where(t <= accepted, t, 0), tl.where(t <= width, t, 0)
        stem_states = width + 1
    else:
        is_node = (x > 0) & (x <= width)
        parent = tl.load(parents + x, mask=is_node, other=-1)
        level = tl.load(levels + x, mask=is_node, other=-1)
        held = tl.load(inputs.ids + row * N + x, mask=is_node, other=-1)
        place = tl.load(inputs.place + row * N + x, mask=is_node, other=NOWHERE).to(tl.int64)
        at_stem = (x == 0) | (is_node & (place < L + R))
        path, stem = t * 0, t * 0
        here, accepted = width * 0, width * 0
        for depth in range(1, DEPTHS + 1):
            child = tl.min(tl.where((parent == here) & (held == tl.load(drawn.token + first_query + here)), x, LANES_X))
            goes_on = (child < LANES_X) & (accepted == depth - 1)
            here = tl.where(goes_on, child, here)
            accepted += goes_on.to(tl.int64)
            path = tl.where((t == depth) & goes_on, child, path)
            below = tl.min(tl.where(at_stem & (level == depth), x, LANES_X))
            stem = tl.where((t == depth) & (below < LANES_X), below, stem)
        stem_states = tl.sum(at_stem.to(tl.int64))
    commit = tl.minimum(accepted + 1, opened - done)

    moved_from, off_stem = t, t < 0
    if not CHAIN:
        moved_from = _at_each(place, path, DEPTHS)
        off_stem = (t > 0) & (t <= accepted) & (moved_from >= L + R)
    take = t < commit
    rank = done + t
    at = first_query + path
    token = tl.load(drawn.token + at, mask=take, other=0)
    position = tl.load(order + rank, mask=take, other=0)
    logp = tl.load(drawn.logp + at, mask=take, other=0.0)
    plain = tl.load(drawn.plain + at, mask=take, other=0.0)
    source, count = _sources(
        inputs.start + row * GROUPS, levels, path, accepted, commit, stem_states, stem, WINDOW, DEPTHS, GROUPS, DEPTH,
        LANES_T, LANES_K,
    )  # fmt: skip
    count = tl.minimum(count, K)
    k = tl.arange(0, LANES_K)[:, None]
    candidate = tl.arange(0, LANES_KEPT)[None, :]
    kept = (k < K) & (candidate < KEPT) & (HEAD == 0)
    from_candidate = (first_query + source)[:, None] * KEPT + candidate
    new_draft = tl.load(drawn.draft + from_candidate, mask=kept, other=0)
    new_holds = tl.load(drawn.holds + from_candidate, mask=kept, other=0.0)
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
    to_candidate = slot * (K * KEPT) + k * KEPT + candidate
    tl.store(state.draft + to_candidate, new_draft, mask=kept)
    tl.store(state.holds + to_candidate, new_holds, mask=kept)
    tl.store(move_from, tl.where(off_stem, moved_from, NOWHERE).to(tl.int32), mask=t <= DEPTHS)
    tl.store(move_to, tl.where(off_stem, L + rank - 1, NOWHERE).to(tl.int32), mask=t <= DEPTHS)
    if HEAD:
        tl.store(state.drafted + slot, done * 0)
    else:
        tl.store(state.drafted + slot, tl.minimum(count, tl.maximum(opened - done, 0)))
        node = tl.arange(0, LANES_W)
        tl.store(state.node_chance + slot * NODES + node, node.to(tl.float64) * 0.0 - 1.0, mask=node < NODES)
    tl.store(sources, source.to(tl.int64), mask=next_draft < K)
    tl.store(drafts.count + row, count.to(tl.int64))
    tl.store(drafts.last + row, tl.sum(tl.where(t == commit - 1, path, 0)))
    # in the order of `COUNTERS`: calls, token forwards, rounds, drafts, those accepted
    accepts = tl.where(c == 4, accepted, 0) + tl.where(c == 3, width, 0)
    passes = tl.where(c == 2, (width > 0).to(tl.int64), 0) + tl.where(c == 1, tokens, 0) + (c == 0).to(tl.int64)
    tl.store(counters, counts + accepts + passes, mask=c < COUNTS)
