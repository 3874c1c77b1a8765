"""What a draft head is told of the slots behind the committed tokens.

    sites     where they lie, and which end tokens are certain or impossible there
    sources   the hidden states that say something of them
    candidates    of each slot, and the noise with which it will be drawn

Shapes: B rows, Q queries, K slots, C candidates of a slot, N = B K, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.head_drafts import DraftSites
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.noise import gumbel, philox
from fef.engine.kernels.overlap import wait_for_previous
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState

__all__ = ["candidates", "draft_sites", "even", "sources"]


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
    """Hidden states [N, 2 D] of the queries at which the drafts of the first K slots stand, and beside each that of the
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
def even(x, D):
    """Of root mean square 1."""
    return x * tl.rsqrt(tl.sum(x * x) / D + 1e-6)


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
    tl.store(pairs + (2 * n + side) * D + d, even(x, D).to(pairs.dtype.element_ty), mask=d < D)


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
