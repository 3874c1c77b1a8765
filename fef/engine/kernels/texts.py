"""Small steps of passes with rows under grammars, each in one launch: drafts of the host into the state, where candidates of
the next slots are drawn, and the letter to the host.

Shapes: S slots, B rows, J numbers of drafts or of a letter, K slots behind the committed tokens, N = B x K, Q queries, X
states, P candidates of all slots of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.pointers import pointers
from fef.engine.packed_texts import LETTER_HEAD
from fef.engine.slots import SlotState

__all__ = ["NextSites", "SlotCandidates", "keep_chains", "next_sites", "settle_row"]

_BLOCK = 128


def keep_chains(state: SlotState, slot_B: Tensor, drafts_BJ: Tensor, width: int) -> None:
    """`fef.engine.packed_drafts.keep_chains` of rows as `KernelTexts.drafts_SJ` has them, without a draft head. width: places
    for tokens, and for chances, in a row."""
    _keep_kernel[(len(drafts_BJ),)](
        slot_B,
        drafts_BJ,
        pointers(state),
        drafts_BJ.shape[1],
        WIDTH=width,
        K=state.table.drafts,
        C=state.table.branching,
        LANES=triton.next_power_of_2(state.table.drafts * state.table.branching),
        num_warps=1,
    )


@triton.jit
def _keep_kernel(slots, drafts, state, J, WIDTH: tl.constexpr, K: tl.constexpr, C: tl.constexpr, LANES: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    drafts += row * J
    slot = tl.load(slots + row)
    lane = tl.arange(0, LANES)
    mask = lane < K * C
    first = mask & (lane % C == 0)
    token = tl.load(drafts + 1 + lane // C, mask=first, other=0)
    hold = tl.load(drafts + 1 + WIDTH + lane // C, mask=first, other=0).to(tl.float64, bitcast=True)
    tl.store(state.drafted + slot, tl.load(drafts))
    tl.store(state.draft + slot * (K * C) + lane, token, mask=mask)
    tl.store(state.holds + slot * (K * C) + lane, hold, mask=mask)


@dataclass(frozen=True)
class SlotCandidates:
    """The best tokens of each of the next slots, and their chances; of how many slots there are some."""

    token_BP: Tensor
    holds_BP: Tensor
    count_B: Tensor


@dataclass(frozen=True)
class NextSites:
    """What `draw` asks for at the next slots of rows."""

    position_N: Tensor
    seed_N: Tensor
    step_N: Tensor
    temperature_N: Tensor
    wanted_N: Tensor
    none_N: Tensor  # bool: no end rule


def next_sites(state: SlotState, slot_B: Tensor, under_B: Tensor, next_drafts: NextDrafts, slots: int) -> NextSites:
    """Those of rows under a grammar are wanted, as far as the pass has drafts for them."""
    N, device = len(slot_B) * slots, slot_B.device

    def new(dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.empty(N, dtype=dtype, device=device)

    sites = NextSites(new(), new(), new(), new(torch.float64), new(torch.bool), new(torch.bool))
    _sites_kernel[(len(slot_B),)](
        slot_B,
        pointers(state),
        under_B.view(torch.uint8),
        next_drafts.count_B,
        pointers(sites),
        R=state.table.ranks,
        K=slots,
        LANES=triton.next_power_of_2(slots),
        num_warps=1,
    )
    return sites


@triton.jit
def _sites_kernel(slots, state, unders, counts, sites, R: tl.constexpr, K: tl.constexpr, LANES: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    done, count = tl.load(state.done + slot), tl.load(counts + row)
    wanted = tl.load(unders + row) != 0
    seed, step = tl.load(state.seed + slot), tl.load(state.step + slot)
    temperature = tl.load(state.temperature + slot)
    k = tl.arange(0, LANES)
    mask, at = k < K, row * K + k
    none = k.to(tl.int64) * 0
    tl.store(sites.position + at, tl.load(state.order + slot * R + tl.minimum(done + k, R - 1), mask=mask), mask=mask)
    tl.store(sites.seed + at, none + seed, mask=mask)
    tl.store(sites.step + at, none + step, mask=mask)
    tl.store(sites.temperature + at, none.to(tl.float64) + temperature, mask=mask)
    tl.store(sites.wanted + at, (wanted & (k < count)).to(tl.uint8), mask=mask)
    tl.store(sites.none + at, none.to(tl.uint8), mask=mask)


def settle_row(
    state: SlotState,
    slot_B: Tensor,
    before_B: Tensor,
    drawn: Drawn,
    eos_id: int | None,
    candidates: SlotCandidates | None,
    letter_BJ: Tensor,
) -> None:
    """What a pass has left to say of rows under grammars, once it has advanced: `SlotState.log_mass_S` grows by what was
    committed, and a letter for `Letter.read` is written, int64. before_B: what was done before the pass. drawn: at the X
    states of each row, and maybe behind them."""
    B, K = len(slot_B), state.table.drafts
    P = 0 if candidates is None else candidates.token_BP.shape[1]
    assert drawn.free is not None, "drawn under grammars"
    Q = len(drawn.token) // B
    X = min(Q, K + 1)
    assert letter_BJ.shape == (B, LETTER_HEAD + X + K + 2 * P) and letter_BJ.is_contiguous(), "as it is read"
    _settle_kernel[(B,)](
        slot_B,
        before_B,
        pointers(state),
        pointers(drawn),
        None if candidates is None else pointers(candidates),
        letter_BJ,
        -1 if eos_id is None else eos_id,
        Q=Q,
        X=X,
        K=K,
        C=state.table.branching,
        P=P,
        HEAD=LETTER_HEAD,
        LANES_X=triton.next_power_of_2(X),
        LANES_K=triton.next_power_of_2(K),
        BLOCK=_BLOCK,
        num_warps=1,
    )


@triton.jit
def _settle_kernel(
    slots,
    befores,
    state,
    drawn,
    candidates,
    out,
    eos_id,
    Q: tl.constexpr,
    X: tl.constexpr,
    K: tl.constexpr,
    C: tl.constexpr,
    P: tl.constexpr,
    HEAD: tl.constexpr,
    LANES_X: tl.constexpr,
    LANES_K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    out += row * (HEAD + X + K + 2 * P)
    done = tl.load(state.done + slot)
    x = tl.arange(0, LANES_X)
    new = (x < done - tl.load(befores + row)) & (x < X)
    token = tl.load(drawn.token + row * Q + x, mask=new, other=-1)
    logp = tl.load(drawn.logp + row * Q + x, mask=new, other=0.0)
    free = tl.load(drawn.free + row * Q + x, mask=new, other=0.0)
    end = tl.min(tl.where(new & (token == eos_id), x, LANES_X))
    log_mass = tl.load(state.log_mass + slot) + tl.sum(tl.where(new & (x <= end), free - logp, 0.0))
    k = tl.arange(0, LANES_K)
    draft = tl.load(state.draft + slot * (K * C) + k * C, mask=k < K, other=0)
    tl.store(state.log_mass + slot, log_mass)
    tl.store(out, done)
    tl.store(out + 1, tl.load(state.live + slot).to(tl.int64))
    tl.store(out + 2, tl.load(state.drafted + slot))
    tl.store(out + HEAD + x, token, mask=x < X)
    out += HEAD + X
    tl.store(out + k, draft, mask=k < K)
    if candidates is not None:
        tl.store(out - X - 1, tl.load(candidates.count + row))
        out += K
        for start in range(0, P, BLOCK):
            p = start + tl.arange(0, BLOCK)
            mask = p < P
            tl.store(out + p, tl.load(candidates.token + row * P + p, mask=mask, other=0), mask=mask)
            hold = tl.load(candidates.holds + row * P + p, mask=mask, other=0.0)
            tl.store(out + P + p, hold.to(tl.int64, bitcast=True), mask=mask)
