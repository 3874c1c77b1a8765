"""Attention of one packed pass over a cache whose visibility follows from ranks (`fef.models.packed`).

Places of a cache slot: [0, L) context, place = canvas position; [L, L + R) references, place = L + rank; from L + R on
scratch, where the last M tokens of each row of this pass put their keys. A query sees

    context key p      within the canvas, revealed or ranked behind the query
    reference key r    ranked below the query's limit
    scratch key j      of the query's group, ranked at or before the query
    node key n         whose bit is set in what the query sees; nodes lie behind the scratch keys

A scratch key may belong to several groups, with numbers one behind another: `ScratchKeys`.

The softmax is computed online over key blocks of fixed size in a fixed order (Milakov, Gimelshein 2018, arXiv
1805.02867; Dao et al. 2022, arXiv 2205.14135), in parts of so many keys that are joined at the end (`attention_parts`). A
block without a visible key leaves the bits of a query as they are, so these do not depend on how far other queries make the
loop run, nor on the batch, nor on who computes the parts.

A program has the queries of all heads that share keys, token by token, so that it reads these once.

Shapes: B rows, N tokens of a row, X numbers of a token, H heads, G key-value heads, E head size, S cache slots, C places
of a slot, L canvas length, R references, M scratch tokens, W nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.attention_blocks import Blocks, choose_blocks
from fef.engine.kernels.attention_parts import FoundParts, join_parts, merged
from fef.engine.kernels.overlap import wait_for_previous

__all__ = ["ScratchKeys", "Sight", "packed_attention"]

_LOG2_E = 1.4426950408889634
_PART = 128  # keys of a part; scratch keys and nodes are one more


@dataclass
class ScratchKeys:
    """The scratch tokens of each row, int32. Numbers of a row lie side by side.

    rank_BM, group_BM: as of queries. until_BM: the first group behind `group` that does not see the key; None: the next one.
    start_B: where the keys of a row begin, in places of its slot; None: behind the references.
    """

    rank_BM: Tensor
    group_BM: Tensor
    until_BM: Tensor | None = None
    start_B: Tensor | None = None


@dataclass(frozen=True)
class Sight:
    """Which keys the tokens of a pass see. All numbers int32.

    slot_B: cache slot of the row. rank_BN, limit_BN, group_BN: of each token; context queries have -2, 0, -1, and group -1 is
    in no group. rank_SL: rank of a masked canvas position, `REVEALED` or `PADDING`. length_S: canvas length of the slot.
    by_row: both are of each row instead, [B, L] and [B]. references: R. scratch: the M tokens of each row that put their keys
    there. seen_BN: int64, the nodes that each token sees, a bit each, of `nodes` nodes; None: there are none.
    """

    slot_B: Tensor
    rank_BN: Tensor
    limit_BN: Tensor
    group_BN: Tensor
    rank_SL: Tensor
    length_S: Tensor
    references: int
    scratch: ScratchKeys
    by_row: bool = False
    seen_BN: Tensor | None = None
    nodes: int = 0


def packed_attention(
    qkv_NX: Tensor,
    keys_SGCE: Tensor,
    values_SGCE: Tensor,
    sight: Sight,
    *,
    heads: int,
    kv_heads: int,
    head_size: int,
    overlap: bool = False,
    _blocks: Blocks | None = None,
) -> Tensor:
    """Attention outputs [B * N, H * E] of the queries in `qkv_NX` ([q heads | ...] of each of B * N tokens).

    A query that sees nothing gives 0. Places that a query may see must have been written; what the others hold does not
    matter.
    """
    rank_BN, scratch = sight.rank_BN, sight.scratch
    B, N = rank_BN.shape
    L = sight.rank_SL.shape[1]
    M = scratch.rank_BM.shape[1]
    of_scratch = [x for x in (scratch.rank_BM, scratch.group_BM, scratch.until_BM) if x is not None]
    assert qkv_NX.is_contiguous() and qkv_NX.shape[0] == B * N, "one line per token"
    assert keys_SGCE.stride() == values_SGCE.stride() and keys_SGCE.stride(3) == 1, "two caches of one layout"
    assert keys_SGCE.shape[2] * keys_SGCE.stride(2) < 2**31, "places of a slot are counted in 32 bits"
    assert all(x.is_contiguous() for x in (sight.rank_SL, rank_BN, sight.limit_BN, sight.group_BN)), (
        "metadata lie side by side"
    )
    assert all(x.stride() == scratch.rank_BM.stride() and x.stride(1) == 1 for x in of_scratch), "in one layout"
    assert sight.seen_BN is None or (sight.seen_BN.is_contiguous() and sight.nodes <= 64), "a bit per node"
    if scratch.start_B is None:
        assert L + sight.references + M + sight.nodes <= keys_SGCE.shape[2], "the scratch places do not fit the cache"
    queries = N * heads // kv_heads  # on the same keys
    key_block = 32 if qkv_NX.dtype == torch.float32 else 64
    per_part = _PART // key_block
    parts = triton.cdiv(triton.cdiv(L, key_block) + triton.cdiv(sight.references, key_block), per_part) + 1
    blocks = _blocks or choose_blocks(queries, head_size, kv_heads * B, parts, qkv_NX.dtype)
    assert blocks.keys == key_block, "the bits depend on it"
    found = FoundParts.empty(parts, B * N, heads, head_size, qkv_NX.device) if blocks.spread else None
    out_NX = torch.empty(B * N, heads * head_size, dtype=qkv_NX.dtype, device=qkv_NX.device)
    _attention_kernel[(triton.cdiv(queries, blocks.queries), kv_heads, B if found is None else B * parts)](
        qkv_NX,
        keys_SGCE,
        values_SGCE,
        sight.rank_SL,
        sight.length_S,
        sight.slot_B,
        rank_BN,
        sight.limit_BN,
        sight.group_BN,
        scratch.rank_BM,
        scratch.group_BM,
        scratch.until_BM,
        scratch.start_B,
        sight.seen_BN,
        out_NX,
        None if found is None else found.best_PTH,
        None if found is None else found.mass_PTH,
        None if found is None else found.sum_PTHE,
        B * N,
        N,
        L,
        sight.references,
        M,
        scratch.rank_BM.stride(0),
        keys_SGCE.stride(0),
        keys_SGCE.stride(1),
        keys_SGCE.stride(2),
        qkv_NX.stride(0),
        head_size**-0.5 * _LOG2_E,
        H=heads,
        REPEAT=heads // kv_heads,
        E=head_size,
        BLOCK_Q=blocks.queries,
        BLOCK_K=blocks.keys,
        BLOCK_E=max(16, triton.next_power_of_2(head_size)),
        BY_ROW=sight.by_row,
        NODES=sight.nodes,
        PER_PART=per_part,
        PARTS=1 if found is None else parts,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    if found is not None:
        join_parts(found, out_NX, overlap=overlap)
    return out_NX


@triton.jit
def _context_ranks(rank_of_place, block, length, BLOCK_K: tl.constexpr):
    """Ranks [BLOCK_K] of a block of the context, whose keys a query sees that is ranked before: revealed ones behind all.
    Padding, and what lies behind the end, is before all as it is."""
    place = block * BLOCK_K + tl.arange(0, BLOCK_K)
    rank = tl.load(rank_of_place + place, mask=place < length, other=-3)
    return tl.where(rank == -1, 2147483647, rank)


@triton.jit
def _attend(
    q,
    best,
    mass,
    acc,
    keys,
    values,
    place,
    real,
    visible,
    scale,
    C_stride,
    E: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """One key block of the online softmax. best: running maximum [Q]; mass: running denominator [Q, 16 equal columns]."""
    column = tl.arange(0, BLOCK_E)[None, :]
    mask = real[:, None] & (column < E)
    offsets = place[:, None] * C_stride + column
    # Only places of this request that were written: a masked key with a nan would spoil the sum, as 0 * nan is nan.
    k = tl.load(keys + offsets, mask=mask, other=0.0)
    v = tl.load(values + offsets, mask=mask, other=0.0)
    score = tl.where(visible, tl.dot(q, tl.trans(k), input_precision="ieee"), float("-inf"))
    new_best = tl.maximum(best, tl.max(score, axis=1) * scale)
    shift = tl.where(new_best == float("-inf"), 0.0, new_best)
    fade = tl.exp2(best - shift)
    p = tl.exp2(tl.fma(score, scale, -shift[:, None])).to(v.dtype)
    # The denominator is summed by the same instruction as the numerator: its order is not that of a thread layout.
    ones = tl.full((BLOCK_K, 16), 1.0, v.dtype)
    mass = tl.dot(p, ones, mass * fade[:, None], input_precision="ieee")
    acc = tl.dot(p, v, acc * fade[:, None], input_precision="ieee")
    return new_best, mass, acc


@triton.jit
def _attention_kernel(
    qkv,
    keys,
    values,
    rank_of_place,
    length_of_slot,
    slot_of_row,
    ranks,
    limits,
    groups,
    key_ranks,
    key_groups,
    key_untils,
    scratch_starts,
    nodes_seen,
    out,
    part_bests,
    part_masses,
    part_sums,
    T,
    N,
    L,
    R,
    M,
    key_stride,
    S_stride,
    G_stride,
    C_stride,
    qkv_stride,
    scale,
    H: tl.constexpr,
    REPEAT: tl.constexpr,
    E: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BY_ROW: tl.constexpr,
    NODES: tl.constexpr,
    PER_PART: tl.constexpr,
    PARTS: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    row, part = tl.program_id(2) // PARTS, tl.program_id(2) % PARTS
    slot = tl.load(slot_of_row + row).to(tl.int64)
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    present = query < N * REPEAT
    token = row * N + query // REPEAT
    head = tl.program_id(1) * REPEAT + query % REPEAT
    rank = tl.load(ranks + token, mask=present, other=0)[:, None]
    limit = tl.load(limits + token, mask=present, other=0)[:, None]
    group = tl.load(groups + token, mask=present, other=-1)[:, None]

    column = tl.arange(0, BLOCK_E)[None, :]
    mask = present[:, None] & (column < E)
    q = tl.load(qkv + token.to(tl.int64)[:, None] * qkv_stride + (head * E)[:, None] + column, mask=mask, other=0.0)
    base = slot * S_stride + tl.program_id(1).to(tl.int64) * G_stride
    keys += base
    values += base
    described = row.to(tl.int64) if BY_ROW else slot
    rank_of_place += described * L
    inner = tl.arange(0, BLOCK_K)

    nothing = tl.full((BLOCK_Q,), float("-inf"), tl.float32)
    no_mass = tl.zeros((BLOCK_Q, 16), dtype=tl.float32)
    no_sum = tl.zeros((BLOCK_Q, BLOCK_E), dtype=tl.float32)
    best, mass, acc = nothing, no_mass, no_sum
    joined_best, joined_mass, joined_acc = nothing, tl.zeros((BLOCK_Q, 1), dtype=tl.float32), no_sum

    length = tl.load(length_of_slot + described)
    most = tl.max(limit)
    context_blocks = tl.cdiv(length, BLOCK_K)
    first, last = 0, context_blocks + tl.cdiv(most, BLOCK_K)
    if PARTS > 1:
        first = part * PER_PART
        last = tl.minimum(first + PER_PART, last)
    # One loop for both, so that the loads of the first references are under way before the context ends.
    for block in range(first, last):
        rank_in_context = _context_ranks(rank_of_place, block, length, BLOCK_K)
        in_context = block < context_blocks
        key = tl.where(in_context, block, block - context_blocks) * BLOCK_K + inner
        real = key < tl.where(in_context, length, most)
        # one comparison per pair: of ranks in the context, of numbers turned around for references, key < limit
        visible = tl.where(in_context, rank_in_context, -key)[None, :] > tl.where(in_context, rank, -limit)
        place = tl.where(in_context, 0, L) + key
        best, mass, acc = _attend(
            q, best, mass, acc, keys, values, place, real, visible, scale, C_stride, E, BLOCK_K, BLOCK_E
        )
        if PARTS == 1 and (block + 1) % PER_PART == 0:
            whole = tl.max(mass, axis=1)[:, None]
            joined_best, joined_mass, joined_acc = merged(joined_best, joined_mass, joined_acc, best, whole, acc)
            best, mass, acc = nothing, no_mass, no_sum
    if PARTS == 1:
        whole = tl.max(mass, axis=1)[:, None]
        joined_best, joined_mass, joined_acc = merged(joined_best, joined_mass, joined_acc, best, whole, acc)
        best, mass, acc = nothing, no_mass, no_sum

    # the last part
    in_scratch = (tl.max(group) >= 0) & (part == PARTS - 1)
    scratch_start = L + R if scratch_starts is None else tl.load(scratch_starts + row)
    for start in range(0, tl.where(in_scratch, M, 0), BLOCK_K):
        key = start + inner
        key_token = row * key_stride + key
        key_group = tl.load(key_groups + key_token, mask=key < M, other=-1)
        key_rank = tl.load(key_ranks + key_token, mask=key < M, other=0)[None, :]
        real = key_group >= 0
        if key_untils is None:
            of_group = key_group[None, :] == group
        else:
            until = tl.load(key_untils + key_token, mask=key < M, other=0)[None, :]
            of_group = (key_group[None, :] <= group) & (group < until)
        visible = real[None, :] & of_group & (key_rank <= rank)
        best, mass, acc = _attend(
            q, best, mass, acc, keys, values, scratch_start + key, real, visible, scale, C_stride, E, BLOCK_K, BLOCK_E
        )
    if nodes_seen is not None:
        seen = tl.load(nodes_seen + token, mask=present, other=0)[:, None]
        for start in range(0, tl.where(part == PARTS - 1, NODES, 0), BLOCK_K):
            node = start + inner
            visible = ((seen >> tl.minimum(node, 63)[None, :]) & 1 != 0) & (node < NODES)[None, :]
            real = tl.max(visible.to(tl.int32), axis=0) != 0  # absent nodes wrote no key, and nobody sees them
            best, mass, acc = _attend(
                q,
                best,
                mass,
                acc,
                keys,
                values,
                scratch_start + M + node,
                real,
                visible,
                scale,
                C_stride,
                E,
                BLOCK_K,
                BLOCK_E,
            )
    if PARTS > 1:
        at = (part * T + token).to(tl.int64) * H + head
        tl.store(part_bests + at, best, mask=present)
        tl.store(part_masses + at, tl.max(mass, axis=1), mask=present)
        tl.store(part_sums + at[:, None] * E + column, acc, mask=mask)
        return
    whole = tl.max(mass, axis=1)[:, None]
    _, total, acc = merged(joined_best, joined_mass, joined_acc, best, whole, acc)
    y = acc / tl.where(total == 0.0, 1.0, total)
    at = token.to(tl.int64) * (H * E) + head * E
    tl.store(out + at[:, None] + column, y.to(out.dtype.element_ty), mask=mask)
