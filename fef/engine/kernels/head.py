"""A draft head's steps (`fef.models.draft_tree`), in a few launches per depth; its trees grow in `growth`.

Between these kernels are products of `linear` and norms of `norm`, whose bits for a token do not depend on the others; so
the trees of a row do not depend on its batch. A tree changes no text, but where its keys lie it can change last bits.

    pair      what a step reads of the two tokens before
    path      attention of a state over the states on its path
    corrections   the correction of the frontier at the candidates of its slot

Shapes: B rows, S states of a depth, N = B S, F most states of a depth, K slots, C candidates of a slot, D width, W width of
the block, X joined numbers, H heads, G key-value heads, E head size, T depths, P parts of D, V vocabulary.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.head_drafts import DraftSites
from fef.engine.kernels.growth import Frontiers
from fef.engine.kernels.overlap import wait_for_previous
from fef.engine.kernels.pointers import pointers
from fef.engine.kernels.slots_ahead import even

__all__ = ["corrections", "pair", "path"]

_CANDIDATES = 32  # of a program of corrections
_INPUTS = 64
_PART = 512  # inputs of a program of corrections


def pair(
    embed_VD: Tensor,
    known_BKW: Tensor,
    sites: DraftSites,
    frontiers: Frontiers,
    depth: int,
    states: int,
    *,
    overlap: bool = False,
) -> tuple[Tensor, Tensor]:
    """Embeddings of the last token and of the one before, each of root mean square 1, side by side [N, 2 D]; and what is
    known of the slot [N, W]. The root's token goes into the frontiers."""
    (B, K, W), D = known_BKW.shape, embed_VD.shape[1]
    pair_NX = torch.empty(B * states, 2 * D, dtype=embed_VD.dtype, device=embed_VD.device)
    known_NW = torch.empty(B * states, W, dtype=embed_VD.dtype, device=embed_VD.device)
    assert known_BKW.is_contiguous() and embed_VD.is_contiguous(), "rows lie side by side"
    _pair_kernel[(B * states,)](
        embed_VD,
        known_BKW,
        pointers(sites),
        pointers(frontiers),
        pair_NX,
        known_NW,
        B,
        K,
        D,
        W,
        frontiers.token_TBF.shape[2],
        depth,
        S=states,
        LANES_D=triton.next_power_of_2(D),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )
    return pair_NX, known_NW


@triton.jit(do_not_specialize=["depth"])
def _pair_kernel(
    embed,
    known,
    sites,
    frontiers,
    pairs,
    knowns,
    B,
    K,
    D,
    W,
    F,
    depth,
    S: tl.constexpr,
    LANES_D: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    n = tl.program_id(0).to(tl.int64)
    row, state = n // S, n % S
    here = (depth * B + row) * F
    above = here - B * F
    last, before = tl.load(sites.last + row), tl.load(sites.before + row)
    if depth == 0:
        tl.store(frontiers.token + here + state, last)
    else:
        last = tl.load(frontiers.token + here + state)
        before = tl.load(frontiers.token + above + tl.load(frontiers.parent + here + state))
    d = tl.arange(0, LANES_D)
    mask = d < D
    one = tl.load(embed + last * D + d, mask=mask, other=0.0).to(tl.float32)
    other = tl.load(embed + before * D + d, mask=mask, other=0.0).to(tl.float32)
    to = pairs.dtype.element_ty
    tl.store(pairs + n * 2 * D + d, even(one, D).to(to), mask=mask)
    tl.store(pairs + n * 2 * D + D + d, even(other, D).to(to), mask=mask)
    of_block = d < W
    tl.store(knowns + n * W + d, tl.load(known + (row * K + depth) * W + d, mask=of_block, other=0.0), mask=of_block)


def path(
    qkv_NX: Tensor,
    kept_TNX: Tensor,
    frontiers: Frontiers,
    depth: int,
    states: int,
    *,
    heads: int,
    kv_heads: int,
    overlap: bool = False,
) -> Tensor:
    """Attention of each state over itself and those on its path [N, H E]. kept_TNX: k and v of the states of each depth, of F
    per row, into which those of this depth go."""
    _, B, F = frontiers.token_TBF.shape
    E = kept_TNX.shape[2] // (2 * kv_heads)
    mixed_NX = torch.empty(len(qkv_NX), heads * E, dtype=qkv_NX.dtype, device=qkv_NX.device)
    _path_kernel[(len(qkv_NX), heads)](
        qkv_NX,
        kept_TNX,
        pointers(frontiers),
        mixed_NX,
        B,
        F,
        depth,
        E**-0.5,
        S=states,
        H=heads,
        G=kv_heads,
        E=E,
        LANES_E=triton.next_power_of_2(E),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=1,
    )
    return mixed_NX


@triton.jit(do_not_specialize=["depth"])
def _path_kernel(
    qkv,
    kept,
    frontiers,
    mixed,
    B,
    F,
    depth,
    scale,
    S: tl.constexpr,
    H: tl.constexpr,
    G: tl.constexpr,
    E: tl.constexpr,
    LANES_E: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    n, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row, state = n // S, n % S
    group = head // (H // G)
    e = tl.arange(0, LANES_E)
    mask = e < E
    own = qkv + n * (H + 2 * G) * E
    q = tl.load(own + head * E + e, mask=mask, other=0.0).to(tl.float32)
    own_k = tl.load(own + (H + group) * E + e, mask=mask, other=0.0)
    own_v = tl.load(own + (H + G + group) * E + e, mask=mask, other=0.0)
    if head % (H // G) == 0:
        at = ((depth * B + row) * F + state) * (2 * G * E) + group * E + e
        tl.store(kept + at, own_k, mask=mask)
        tl.store(kept + at + G * E, own_v, mask=mask)
    best = tl.sum(q * own_k.to(tl.float32)) * scale
    mass = best * 0 + 1.0
    total = own_v.to(tl.float32)
    above, level = state, depth
    while level > 0:
        above = tl.load(frontiers.parent + (level * B + row) * F + above)
        level -= 1
        at = ((level * B + row) * F + above) * (2 * G * E) + group * E + e
        k = tl.load(kept + at, mask=mask, other=0.0).to(tl.float32)
        v = tl.load(kept + at + G * E, mask=mask, other=0.0).to(tl.float32)
        score = tl.sum(q * k) * scale
        new = tl.maximum(best, score)
        fade, weight = tl.exp(best - new), tl.exp(score - new)
        mass = mass * fade + weight
        total = total * fade + weight * v
        best = new
    tl.store(mixed + (n * H + head) * E + e, (total / mass).to(mixed.dtype.element_ty), mask=mask)


def corrections(
    change_ND: Tensor, output_VD: Tensor, ids_BKC: Tensor, depth: int, states: int, *, overlap: bool = False
) -> Tensor:
    """Products of the changes of states with the rows of the output matrix of their slot's candidates, float32, in parts
    [P, N, C] that the next kernel adds."""
    B, K, C = ids_BKC.shape
    D = change_ND.shape[1]
    parts = triton.cdiv(D, _PART)
    part_PNC = torch.empty(parts, B * states, C, dtype=torch.float32, device=change_ND.device)
    assert output_VD.is_contiguous() and change_ND.is_contiguous() and ids_BKC.is_contiguous(), "rows lie side by side"
    _corrections_kernel[(B, triton.cdiv(C, _CANDIDATES), parts)](
        change_ND,
        output_VD,
        ids_BKC,
        part_PNC,
        B,
        K,
        C,
        D,
        depth,
        S=states,
        LANES_S=max(16, triton.next_power_of_2(states)),
        BLOCK_C=_CANDIDATES,
        BLOCK_D=_INPUTS,
        PART=_PART,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )
    return part_PNC


@triton.jit(do_not_specialize=["depth"])
def _corrections_kernel(
    change,
    output,
    ids,
    parts,
    B,
    K,
    C,
    D,
    depth,
    S: tl.constexpr,
    LANES_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PART: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(2)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    state = tl.arange(0, LANES_S)
    token = tl.load(ids + (row * K + depth) * C + c, mask=c < C, other=0)
    total = tl.zeros((LANES_S, BLOCK_C), tl.float32)
    for start in range(part * PART, min((part + 1) * PART, D), BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        states = (row * S + state)[:, None] * D + d[None, :]
        x = tl.load(change + states, mask=(state < S)[:, None] & (d < D)[None, :], other=0.0)
        rows = token[None, :] * D + d[:, None]
        y = tl.load(output + rows, mask=(c < C)[None, :] & (d < D)[:, None], other=0.0)
        total = tl.dot(x, y, total, input_precision="ieee")
    at = ((part * B + row) * S + state)[:, None] * C + c[None, :]
    tl.store(parts + at, total, mask=(state < S)[:, None] & (c < C)[None, :])
