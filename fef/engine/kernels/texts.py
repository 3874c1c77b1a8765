"""Small steps of passes with rows under grammars, each in one launch: drafts of the host into the state, where candidates of
the next slots are drawn, and the letter to the host.

Shapes: S slots, B rows, J numbers of drafts or of a letter, K slots behind the committed tokens, N = B x K, Q queries, P
candidates of all slots of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState

__all__ = ["NextSites", "keep_chains", "next_sites", "write_letter"]

_BLOCK = 128


def keep_chains(state: SlotState, drafts_BJ: Tensor, width: int) -> None:
    """`fef.engine.packed_drafts.keep_chains` of rows as `KernelTexts.drafts_SJ` has them, without a draft head. width: places
    for tokens, and for chances, in a row."""
    _keep_kernel[(len(drafts_BJ),)](
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
def _keep_kernel(drafts, state, J, WIDTH: tl.constexpr, K: tl.constexpr, C: tl.constexpr, LANES: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    drafts += row * J
    slot = tl.load(drafts)
    lane = tl.arange(0, LANES)
    mask = lane < K * C
    first = mask & (lane % C == 0)
    token = tl.load(drafts + 2 + lane // C, mask=first, other=0)
    hold = tl.load(drafts + 2 + WIDTH + lane // C, mask=first, other=0).to(tl.float64, bitcast=True)
    tl.store(state.drafted + slot, tl.load(drafts + 1))
    tl.store(state.draft + slot * (K * C) + lane, token, mask=mask)
    tl.store(state.holds + slot * (K * C) + lane, hold, mask=mask)


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


def write_letter(
    state: SlotState, slot_B: Tensor, token_BQ: Tensor, states: int, count_B: Tensor, token_BP: Tensor, holds_BP: Tensor
) -> Tensor:
    """int64 [B, J], as `Letter` reads it. token_BQ: drawn, at the states first. token_BP, holds_BP: of all candidates."""
    B, P = token_BP.shape
    letter_BJ = torch.empty(B, 3 + states + 2 * P, dtype=torch.int64, device=slot_B.device)
    _letter_kernel[(B,)](
        slot_B,
        pointers(state),
        token_BQ,
        count_B,
        token_BP,
        holds_BP,
        letter_BJ,
        Q=token_BQ.shape[1],
        X=states,
        P=P,
        LANES_X=triton.next_power_of_2(states),
        BLOCK=_BLOCK,
        num_warps=1,
    )
    return letter_BJ


@triton.jit
def _letter_kernel(
    slots,
    state,
    drawn,
    counts,
    tokens,
    holds,
    out,
    Q: tl.constexpr,
    X: tl.constexpr,
    P: tl.constexpr,
    LANES_X: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    out += row * (3 + X + 2 * P)
    tl.store(out, tl.load(state.done + slot))
    tl.store(out + 1, tl.load(state.live + slot).to(tl.int64))
    tl.store(out + 2, tl.load(counts + row))
    x = tl.arange(0, LANES_X)
    tl.store(out + 3 + x, tl.load(drawn + row * Q + x, mask=x < X, other=0), mask=x < X)
    out += 3 + X
    for start in range(0, P, BLOCK):
        p = start + tl.arange(0, BLOCK)
        mask = p < P
        tl.store(out + p, tl.load(tokens + row * P + p, mask=mask, other=0), mask=mask)
        hold = tl.load(holds + row * P + p, mask=mask, other=0.0)
        tl.store(out + P + p, hold.to(tl.int64, bitcast=True), mask=mask)
