"""The trees that a draft head grows (`fef.laws.growth`).

    deepen    the likeliest children of the states of a depth: nodes, of which the best are continued
    best      the best nodes of all depths, into the state of the slots

A tree changes no text, but where its keys lie it can change last bits. `head` has the steps between.

Shapes: B rows, S states of a depth, N = B S, F most states of a depth, K slots, C candidates of a slot, T depths, P parts, M
nodes of all depths, W nodes kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.head_drafts import DraftSites
from fef.engine.kernels.overlap import wait_for_previous
from fef.engine.kernels.pointers import pointers
from fef.engine.slots import SlotState
from fef.models.draft_head import DraftWindow

__all__ = ["Frontiers", "Step", "best", "deepen", "steps"]


@dataclass(frozen=True)
class Step:
    """From the `states` of a depth to its children, of which `keep` become nodes, from number `start` on."""

    depth: int
    states: int
    start: int
    keep: int


def steps(depths: int, nodes: int, frontier: int, branching: int) -> list[Step]:
    """Those of `fef.laws.growth.grow`."""
    found: list[Step] = []
    states, start = 1, 0
    for depth in range(depths):
        keep = min(nodes, states * branching)
        found.append(Step(depth, states, start, keep))
        states, start = min(frontier, keep), start + keep
    return found


@dataclass(frozen=True)
class Frontiers:
    """What is kept of all depths. Of the states that are continued: their tokens, and but for the root the chance to come
    there, which state of the depth before each continues, and its number: m + 1 is node m of all that were found. Of the
    nodes found: chance, number of the state that each continues (0: the root), token, place among its siblings, and depth."""

    reached_TBF: Tensor
    parent_TBF: Tensor
    token_TBF: Tensor
    number_TBF: Tensor
    chance_BM: Tensor
    father_BM: Tensor
    held_BM: Tensor
    candidate_BM: Tensor
    depth_BM: Tensor

    @classmethod
    def empty(cls, depths: int, rows: int, states: int, found: int, device: torch.device) -> Frontiers:
        def new(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        kept, nodes = (depths + 1, rows, states), (rows, found)
        return cls(
            new(*kept, dtype=torch.float64),
            new(*kept),
            new(*kept),
            new(*kept),
            new(*nodes, dtype=torch.float64),
            *(new(*nodes) for _ in range(4)),
        )


def deepen(
    part_PNC: Tensor, window: DraftWindow, noise_BKC: Tensor, sites: DraftSites, frontiers: Frontiers, step: Step,
    *, branching: int, survival: float, overlap: bool = False,
) -> None:  # fmt: skip
    """The likeliest children of the states of a depth (`fef.laws.growth.child_chances` of `fef.models.draft_tree.draft_law`):
    the best become nodes, and the best of these the next frontier, as in `fef.laws.growth.grow`. part_PNC: corrections of
    their logits, in parts. Of equals the lower candidate comes first, and that of the better state."""
    P, _, C = part_PNC.shape
    K = window.ids_BKC.shape[1]
    _, B, F = frontiers.token_TBF.shape
    _deepen_kernel[(B,)](
        part_PNC,
        window.logits_BKC,
        window.ids_BKC,
        noise_BKC,
        pointers(sites),
        pointers(frontiers),
        B,
        K,
        F,
        frontiers.chance_BM.shape[1],
        step.depth,
        step.start,
        P=P,
        S=step.states,
        LANES_S=triton.next_power_of_2(step.states),
        C=C,
        LANES_C=triton.next_power_of_2(C),
        CHILDREN=branching,
        LANES_CHILDREN=triton.next_power_of_2(branching),
        KEEP=step.keep,
        GO_ON=min(F, step.keep),
        SURVIVAL=survival,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=8,
    )


@triton.jit(do_not_specialize=["depth", "start"])
def _deepen_kernel(
    parts,
    logits,
    ids,
    noise,
    sites,
    frontiers,
    B,
    K,
    F,
    M,
    depth,
    start,
    P: tl.constexpr,
    S: tl.constexpr,
    LANES_S: tl.constexpr,
    C: tl.constexpr,
    LANES_C: tl.constexpr,
    CHILDREN: tl.constexpr,
    LANES_CHILDREN: tl.constexpr,
    KEEP: tl.constexpr,
    GO_ON: tl.constexpr,
    SURVIVAL: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    row = tl.program_id(0).to(tl.int64)
    here = (depth * B + row) * F
    s = tl.arange(0, LANES_S)
    c = tl.arange(0, LANES_C)
    there = c < C
    of_slot = (row * K + depth) * C + c
    mask = (s < S)[:, None] & there[None, :]
    x = tl.zeros((LANES_S, LANES_C), tl.float32)
    for part in tl.static_range(P):
        at = ((part * B + row) * S + s)[:, None] * C + c[None, :]
        x += tl.load(parts + at, mask=mask, other=0.0)
    x = (tl.load(logits + of_slot, mask=there, other=float("-inf"))[None, :] + x).to(tl.float64)
    temperature = tl.load(sites.temperature + row)
    x = (x - tl.max(x, axis=1)[:, None]) / tl.where(temperature > 0, temperature, 1.0)
    score = x + tl.load(noise + of_slot, mask=there, other=0.0)[None, :]  # log q + g but for a constant
    weight = tl.exp(score - tl.max(score, axis=1)[:, None])
    mass = tl.sum(weight, axis=1)
    child = tl.arange(0, LANES_CHILDREN)[None, :]
    place = s[:, None] * 0 + child * 0
    chance = place.to(tl.float64)
    for number in tl.static_range(CHILDREN):
        most = tl.max(score, axis=1)
        best_place = tl.min(tl.where(score == most[:, None], c[None, :], LANES_C), axis=1)
        taken = c[None, :] == best_place[:, None]
        found = tl.sum(tl.where(taken, weight, 0.0), axis=1) / mass
        chance = tl.where(child == number, found[:, None], chance)
        place = tl.where(child == number, best_place[:, None], place)
        score = tl.where(taken, float("-inf"), score)
        weight = tl.where(taken, 0.0, weight)

    reached = tl.load(frontiers.reached + here + s, mask=(s < S) & (depth > 0), other=1.0)[:, None]
    father = tl.load(frontiers.number + here + s, mask=(s < S) & (depth > 0), other=0)[:, None]
    worth = (s < S)[:, None] & (child < CHILDREN) & (reached >= SURVIVAL)
    worth = worth & (depth < tl.load(sites.limit + row)) & ((child == 0) | (chance > 0))
    LANES: tl.constexpr = LANES_S * LANES_CHILDREN
    joint = tl.reshape(tl.where(worth, reached * chance, -1.0), (LANES,))
    father = tl.reshape(father + child * 0, (LANES,))
    place = tl.reshape(place, (LANES,))
    m = tl.arange(0, LANES)
    state, candidate = m // LANES_CHILDREN, m % LANES_CHILDREN
    real = (state < S) & (candidate < CHILDREN)
    token = tl.load(ids + (row * K + depth) * C + place, mask=real & (place < C), other=0)  # none where logits are nan
    ranked = tl.where(real, joint, -2.0)
    before = (ranked[None, :] > ranked[:, None]) | ((ranked[None, :] == ranked[:, None]) & (m[None, :] < m[:, None]))
    rank = tl.sum(before.to(tl.int32), axis=1)

    node = row * M + start + rank
    kept = real & (rank < KEEP)
    tl.store(frontiers.chance + node, joint, mask=kept)
    tl.store(frontiers.father + node, father, mask=kept)
    tl.store(frontiers.held + node, token, mask=kept)
    tl.store(frontiers.candidate + node, candidate.to(tl.int64), mask=kept)
    tl.store(frontiers.depth + node, candidate.to(tl.int64) * 0 + depth + 1, mask=kept)
    below = here + B * F + rank
    goes_on = real & (rank < GO_ON)
    tl.store(frontiers.reached + below, joint, mask=goes_on)
    tl.store(frontiers.parent + below, state.to(tl.int64), mask=goes_on)
    tl.store(frontiers.token + below, token, mask=goes_on)
    tl.store(frontiers.number + below, (start + rank + 1).to(tl.int64), mask=goes_on)


def best(state: SlotState, slot_B: Tensor, frontiers: Frontiers, *, overlap: bool = False) -> None:
    """The best nodes of all that were found, into the state (`fef.laws.growth.best_of`, `SlotState.keep_tree`)."""
    B, M = frontiers.chance_BM.shape
    nodes = state.table.nodes
    _best_kernel[(B,)](
        slot_B,
        pointers(frontiers),
        pointers(state),
        M=M,
        W=nodes,
        LANES=triton.next_power_of_2(max(M, nodes)),
        BLOCK=32,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )


@triton.jit
def _best_kernel(
    slots,
    frontiers,
    state,
    M: tl.constexpr,
    W: tl.constexpr,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    m = tl.arange(0, LANES)
    mask = m < M
    at = row * M + m
    chance = tl.load(frontiers.chance + at, mask=mask, other=-1.0)
    father = tl.load(frontiers.father + at, mask=mask, other=0)
    token = tl.load(frontiers.held + at, mask=mask, other=0)
    candidate = tl.load(frontiers.candidate + at, mask=mask, other=0)
    depth = tl.load(frontiers.depth + at, mask=mask, other=1)
    rank = m * 0
    for start in range(0, LANES, BLOCK):
        j = start + tl.arange(0, BLOCK)
        other = tl.load(frontiers.chance + row * M + j, mask=j < M, other=-1.0)[None, :]
        before = (other > chance[:, None]) | ((other == chance[:, None]) & (j[None, :] < m[:, None]))
        rank += tl.sum(before.to(tl.int32), axis=1)
    renamed = tl.gather(rank, tl.maximum(father - 1, 0).to(tl.int32), 0)
    parent = tl.where((father > 0) & (chance >= 0), renamed + 1, 0)
    node, kept = slot * W + rank, rank < W
    tl.store(state.node_chance + node, chance, mask=kept)
    tl.store(state.node_parent + node, parent.to(tl.int64), mask=kept)
    tl.store(state.node_candidate + node, candidate, mask=kept)
    tl.store(state.node_depth + node, depth, mask=kept)
    tl.store(state.node_token + node, token, mask=kept)
