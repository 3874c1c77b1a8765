"""A draft head's steps (`fef.models.draft_tree`), in a few launches per depth; its trees grow in `growth`.

Between these kernels are products of `linear` and norms of `norm`, whose bits for a token do not depend on the others; so
the trees of a row do not depend on its batch. A tree changes no text, but where its keys lie it can change last bits.

    sites     the slots behind what is committed
    sources   the hidden states that say something of them
    candidates    of each slot, and the noise with which it will be drawn
    pair      what a step reads of the two tokens before
    path      attention of a state over the states on its path
    corrections   the correction of the frontier at the candidates of its slot

Shapes: B rows, Q queries, S states of a depth, N = B S, F most states of a depth, K slots, C candidates of a slot, D width, X
joined numbers, H heads, G key-value heads, E head size, T depths, P parts of D, V vocabulary.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.head_drafts import DraftSites
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.growth import Frontiers
from fef.engine.kernels.noise import gumbel, philox
from fef.engine.kernels.overlap import wait_for_previous
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState

__all__ = ["candidates", "corrections", "draft_sites", "pair", "path", "sources"]

_CANDIDATES = 32  # of a program of corrections
_INPUTS = 64
_PART = 512  # inputs of a program of corrections


def draft_sites(state: SlotState, slot_B: Tensor, count_B: Tensor, *, overlap: bool = False) -> DraftSites:
    """`fef.engine.head_drafts.draft_sites`, in one launch. overlap: as in `fef.engine.kernels.overlap`, here and below."""
    B, K, device = len(slot_B), state.table.grown, slot_B.device

    def new(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    sites = DraftSites(
        position_BK=new(B, K),
        forced_BK=new(B, K, dtype=torch.bool),
        forbidden_BK=new(B, K, dtype=torch.bool),
        before_B=new(B),
        last_B=new(B),
        limit_B=new(B),
        seed_B=new(B),
        step_B=new(B),
        temperature_B=new(B, dtype=torch.float64),
        top_p_B=new(B, dtype=torch.float64),
        top_k_B=new(B),
    )
    _sites_kernel[(B,)](
        slot_B,
        count_B,
        pointers(state),
        pointers(sites),
        L=state.table.context,
        R=state.table.ranks,
        K=K,
        LANES_K=triton.next_power_of_2(K),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=1,
    )
    return sites


@triton.jit
def _sites_kernel(
    slots,
    counts,
    state,
    sites,
    L: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    LANES_K: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    done, opened = tl.load(state.done + slot), tl.load(state.open + slot)
    live = tl.load(state.live + slot) != 0
    first_end, last_other = tl.load(state.first_end + slot), tl.load(state.last_other + slot)
    order, ids = state.order + slot * R, state.ids + slot * (L + 1)
    k = tl.arange(0, LANES_K)
    mask = k < K
    position = tl.load(order + tl.minimum(done + k, R - 1), mask=mask, other=0)
    last_at = tl.load(order + tl.maximum(tl.minimum(done - 1, R - 1), 0))
    forced = position > first_end
    at = row * K + k
    tl.store(sites.position + at, position, mask=mask)
    tl.store(sites.forced + at, forced.to(tl.uint8), mask=mask)
    tl.store(sites.forbidden + at, ((position < last_other) & (forced == 0)).to(tl.uint8), mask=mask)
    tl.store(sites.before + row, tl.load(ids + tl.maximum(last_at - 1, 0)))
    tl.store(sites.last + row, tl.load(ids + last_at))
    tl.store(sites.limit + row, tl.where(live, tl.minimum(tl.load(counts + row), opened - done), 0))
    tl.store(sites.seed + row, tl.load(state.seed + slot))
    tl.store(sites.step + row, tl.load(state.step + slot))
    tl.store(sites.temperature + row, tl.load(state.temperature + slot))
    tl.store(sites.top_p + row, tl.load(state.top_p + slot))
    tl.store(sites.top_k + row, tl.load(state.top_k + slot))


def sources(hidden_BQD: Tensor, drafts: NextDrafts, slots: int, *, overlap: bool = False) -> Tensor:
    """Hidden states [B K, 2 D] of the queries at which the drafts of the first K slots stand, and beside each that of the
    query whose draw is the last committed token; each of root mean square 1."""
    B, Q, D = hidden_BQD.shape
    pair_NX = torch.empty(B * slots, 2 * D, dtype=hidden_BQD.dtype, device=hidden_BQD.device)
    assert hidden_BQD.is_contiguous() and drafts.source_BK.is_contiguous(), "rows lie side by side"
    _sources_kernel[(B * slots, 2)](
        hidden_BQD,
        pointers(drafts),
        pair_NX,
        Q,
        D,
        slots,
        drafts.source_BK.shape[1],
        LANES_D=triton.next_power_of_2(D),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )
    return pair_NX


@triton.jit
def _sources_kernel(hidden, drafts, pairs, Q, D, K, ALL_K, LANES_D: tl.constexpr, OVERLAP: tl.constexpr):
    wait_for_previous(OVERLAP)
    n, side = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row, slot = n // K, n % K
    query = tl.load(drafts.last + row)
    if side == 0:
        query = tl.load(drafts.source + row * ALL_K + slot)
    d = tl.arange(0, LANES_D)
    x = tl.load(hidden + (row * Q + query) * D + d, mask=d < D, other=0.0).to(tl.float32)
    tl.store(pairs + (2 * n + side) * D + d, _even(x, D).to(pairs.dtype.element_ty), mask=d < D)


def candidates(
    sites: DraftSites, found_BKC: Tensor, marginal_BKV: Tensor, eos_id: int | None, *, overlap: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, marginal logits and noise [B, K, C] of the candidates of each slot: `fef.models.draft_tree.draft_candidates`, and
    `fef.engine.head_drafts.draft_noise` at them. found_BKC: ids of the likeliest tokens, in any order."""
    B, K, C = found_BKC.shape
    V = marginal_BKV.shape[2]
    ids_BKC, logits_BKC = torch.empty_like(found_BKC), torch.empty(B, K, C, device=found_BKC.device)
    noise_BKC = torch.empty(B, K, C, dtype=torch.float64, device=found_BKC.device)
    assert found_BKC.is_contiguous() and marginal_BKV.is_contiguous(), "rows lie side by side"
    _candidates_kernel[(B * K,)](
        found_BKC,
        marginal_BKV,
        pointers(sites),
        ids_BKC,
        logits_BKC,
        noise_BKC,
        -1 if eos_id is None else eos_id,
        K,
        V,
        HAS_EOS=eos_id is not None,
        C=C,
        LANES_C=triton.next_power_of_2(C),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )
    return ids_BKC, logits_BKC, noise_BKC


@triton.jit
def _candidates_kernel(
    found,
    marginals,
    sites,
    ids,
    logits,
    noise,
    eos_id,
    K,
    V,
    HAS_EOS: tl.constexpr,
    C: tl.constexpr,
    LANES_C: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    site = tl.program_id(0).to(tl.int64)
    row = site // K
    c = tl.arange(0, LANES_C)
    mask = c < C
    token = tl.sort(tl.load(found + site * C + c, mask=mask, other=2147483647).to(tl.int32))
    x = tl.load(marginals + site * V + token, mask=mask, other=float("-inf")).to(tl.float32)
    if HAS_EOS:  # a slot that ends for certain has one candidate
        forced = tl.load(sites.forced + site) != 0
        token = tl.where(forced & (c == 0), eos_id, token)
        x = tl.where(forced, tl.where(c == 0, 0.0, float("-inf")), x)
    seed = tl.load(sites.seed + row)
    counter = (token >> 1).to(tl.uint32)
    still = counter * 0
    position = tl.load(sites.position + site).to(tl.uint32)
    turn = (tl.load(sites.step + row) << 16).to(tl.uint32)
    w0, w1, w2, w3 = philox(
        counter, still + position, still + turn, still, seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    )
    odd = (token & 1) == 1
    g = gumbel(tl.where(odd, w2, w0), tl.where(odd, w3, w1))
    tl.store(ids + site * C + c, token.to(tl.int64), mask=mask)
    tl.store(logits + site * C + c, x, mask=mask)
    tl.store(noise + site * C + c, tl.where(tl.load(sites.temperature + row) > 0, g, 0.0), mask=mask)


def pair(
    embed_VD: Tensor,
    known_BKD: Tensor,
    sites: DraftSites,
    frontiers: Frontiers,
    depth: int,
    states: int,
    *,
    overlap: bool = False,
) -> tuple[Tensor, Tensor]:
    """Embeddings of the last token and of the one before, each of root mean square 1, side by side [N, 2 D]; and what is
    known of the slot [N, D]. The root's token goes into the frontiers."""
    B, K, D = known_BKD.shape
    pair_NX = torch.empty(B * states, 2 * D, dtype=embed_VD.dtype, device=embed_VD.device)
    known_ND = torch.empty(B * states, D, dtype=embed_VD.dtype, device=embed_VD.device)
    assert known_BKD.is_contiguous() and embed_VD.is_contiguous(), "rows lie side by side"
    _pair_kernel[(B * states,)](
        embed_VD,
        known_BKD,
        pointers(sites),
        pointers(frontiers),
        pair_NX,
        known_ND,
        B,
        K,
        D,
        frontiers.token_TBF.shape[2],
        depth,
        S=states,
        LANES_D=triton.next_power_of_2(D),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )
    return pair_NX, known_ND


@triton.jit
def _even(x, D):
    """Of root mean square 1."""
    return x * tl.rsqrt(tl.sum(x * x) / D + 1e-6)


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
    tl.store(pairs + n * 2 * D + d, _even(one, D).to(to), mask=mask)
    tl.store(pairs + n * 2 * D + D + d, _even(other, D).to(to), mask=mask)
    tl.store(knowns + n * D + d, tl.load(known + (row * K + depth) * D + d, mask=mask, other=0.0), mask=mask)


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
