"""A draft head's steps (`fef.models.draft_tree`), in a few launches per depth; its trees grow in `growth`.

Between these kernels are products of `linear` and norms of `norm`, whose bits for a token do not depend on the others; so
the trees of a row do not depend on its batch. A tree changes no text, but where its keys lie it can change last bits.

    site      the slots behind what is committed, and the noise with which they will be drawn, at their candidates
    pair      what a step reads of the two tokens before
    path      attention of a state over the states on its path
    corrections   the correction of the frontier at the candidates of its slot

Shapes: B rows, S states of a depth, N = B S, F most states of a depth, K slots, C candidates of a slot, D width, X joined
numbers, H heads, G key-value heads, E head size, T depths, M nodes of all depths, W nodes kept, V vocabulary.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.head_drafts import DraftSites
from fef.engine.kernels.growth import Frontiers
from fef.engine.kernels.noise import gumbel, philox
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState

__all__ = ["corrections", "draft_noise", "draft_sites", "pair", "path"]

_CANDIDATES = 32  # of a program of corrections
_INPUTS = 64


def draft_sites(state: SlotState, slot_B: Tensor, count_B: Tensor) -> DraftSites:
    """`fef.engine.head_drafts.draft_sites`, in one launch."""
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
        num_warps=1,
    )
    return sites


@triton.jit
def _sites_kernel(
    slots, counts, state, sites, L: tl.constexpr, R: tl.constexpr, K: tl.constexpr, LANES_K: tl.constexpr
):
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


def draft_noise(sites: DraftSites, ids_BKC: Tensor) -> Tensor:
    """`fef.engine.head_drafts.draft_noise`, in one launch."""
    B, K, C = ids_BKC.shape
    noise_BKC = torch.empty(B, K, C, dtype=torch.float64, device=ids_BKC.device)
    _noise_kernel[(B, K)](
        ids_BKC.contiguous(),
        sites.seed_B,
        sites.step_B,
        sites.position_BK,
        sites.temperature_B,
        noise_BKC,
        K,
        C=C,
        LANES_C=triton.next_power_of_2(C),
        num_warps=4,
    )
    return noise_BKC


@triton.jit
def _noise_kernel(ids, seeds, steps, positions, temperatures, noise, K, C: tl.constexpr, LANES_C: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    site = row * K + tl.program_id(1)
    c = tl.arange(0, LANES_C)
    mask = c < C
    token = tl.load(ids + site * C + c, mask=mask, other=0)
    seed = tl.load(seeds + row)
    counter = (token >> 1).to(tl.uint32)
    still = counter * 0
    position = tl.load(positions + site).to(tl.uint32)
    turn = (tl.load(steps + row) << 16).to(tl.uint32)
    w0, w1, w2, w3 = philox(
        counter, still + position, still + turn, still, seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    )
    odd = (token & 1) == 1
    g = gumbel(tl.where(odd, w2, w0), tl.where(odd, w3, w1))
    tl.store(noise + site * C + c, tl.where(tl.load(temperatures + row) > 0, g, 0.0), mask=mask)


def pair(
    embed_VD: Tensor, known_BKD: Tensor, before_B: Tensor, frontiers: Frontiers, depth: int, states: int
) -> tuple[Tensor, Tensor]:
    """Embeddings of the last token and of the one before, each of root mean square 1, side by side [N, 2 D]; and what is
    known of the slot [N, D]."""
    B, K, D = known_BKD.shape
    pair_NX = torch.empty(B * states, 2 * D, dtype=embed_VD.dtype, device=embed_VD.device)
    known_ND = torch.empty(B * states, D, dtype=embed_VD.dtype, device=embed_VD.device)
    assert known_BKD.is_contiguous() and embed_VD.is_contiguous(), "rows lie side by side"
    _pair_kernel[(B * states,)](
        embed_VD,
        known_BKD,
        before_B,
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
        num_warps=4,
    )
    return pair_NX, known_ND


@triton.jit
def _even(x, D):
    """Of root mean square 1."""
    return x * tl.rsqrt(tl.sum(x * x) / D + 1e-6)


@triton.jit(do_not_specialize=["depth"])
def _pair_kernel(
    embed, known, befores, frontiers, pairs, knowns, B, K, D, F, depth, S: tl.constexpr, LANES_D: tl.constexpr
):
    n = tl.program_id(0).to(tl.int64)
    row, state = n // S, n % S
    here = (depth * B + row) * F
    above = here - B * F
    last = tl.load(frontiers.token + here + state)
    before = tl.load(befores + row)
    if depth > 0:
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
    qkv_NX: Tensor, kept_TNX: Tensor, frontiers: Frontiers, depth: int, states: int, *, heads: int, kv_heads: int
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
):
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


def corrections(change_ND: Tensor, output_VD: Tensor, ids_BKC: Tensor, depth: int, states: int) -> Tensor:
    """Products [N, C], float32, of the changes of states with the rows of the output matrix of their slot's candidates."""
    B, K, C = ids_BKC.shape
    D = change_ND.shape[1]
    found_NC = torch.empty(B * states, C, dtype=torch.float32, device=change_ND.device)
    assert output_VD.is_contiguous() and change_ND.is_contiguous() and ids_BKC.is_contiguous(), "rows lie side by side"
    _corrections_kernel[(B, triton.cdiv(C, _CANDIDATES))](
        change_ND,
        output_VD,
        ids_BKC,
        found_NC,
        K,
        C,
        D,
        depth,
        S=states,
        LANES_S=max(16, triton.next_power_of_2(states)),
        BLOCK_C=_CANDIDATES,
        BLOCK_D=_INPUTS,
        num_warps=4,
    )
    return found_NC


@triton.jit(do_not_specialize=["depth"])
def _corrections_kernel(
    change,
    output,
    ids,
    found,
    K,
    C,
    D,
    depth,
    S: tl.constexpr,
    LANES_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    state = tl.arange(0, LANES_S)
    token = tl.load(ids + (row * K + depth) * C + c, mask=c < C, other=0)
    total = tl.zeros((LANES_S, BLOCK_C), tl.float32)
    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        states = (row * S + state)[:, None] * D + d[None, :]
        x = tl.load(change + states, mask=(state < S)[:, None] & (d < D)[None, :], other=0.0)
        rows = token[None, :] * D + d[:, None]
        y = tl.load(output + rows, mask=(c < C)[None, :] & (d < D)[:, None], other=0.0)
        total = tl.dot(x, y, total, input_precision="ieee")
    at = (row * S + state)[:, None] * C + c[None, :]
    tl.store(found + at, total, mask=(state < S)[:, None] & (c < C)[None, :])
