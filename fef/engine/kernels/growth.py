"""The trees that a draft head grows (`fef.laws.growth`).

    children  the likeliest children of a state, and their chances
    frontier  the best of them, which are nodes and are continued
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
from fef.laws.tree import TAU
from fef.models.draft_head import DraftWindow

__all__ = ["Frontiers", "Step", "best", "children", "frontier", "steps"]


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


def children(
    part_PNC: Tensor, window: DraftWindow, noise_BKC: Tensor, sites: DraftSites, step: Step, branching: int,
    *, overlap: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Chances, float64, and tokens [N, branching] of the likeliest children of each state, the likeliest first
    (`fef.laws.growth.child_chances` of `fef.models.draft_tree.draft_law`). part_PNC: corrections of their logits, in parts.
    Of equals the lower candidate comes first."""
    P, N, C = part_PNC.shape
    chance_NC = torch.empty(N, branching, dtype=torch.float64, device=part_PNC.device)
    token_NC = torch.empty(N, branching, dtype=torch.int64, device=part_PNC.device)
    _children_kernel[(N,)](
        part_PNC,
        window.logits_BKC,
        window.ids_BKC,
        noise_BKC,
        sites.temperature_B,
        chance_NC,
        token_NC,
        N,
        window.ids_BKC.shape[1],
        step.depth,
        P=P,
        S=step.states,
        C=C,
        LANES_C=triton.next_power_of_2(C),
        CHILDREN=branching,
        TAU=TAU,
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )
    return chance_NC, token_NC


@triton.jit(do_not_specialize=["depth"])
def _children_kernel(
    parts,
    logits,
    ids,
    noise,
    temperatures,
    chances,
    tokens,
    N,
    K,
    depth,
    P: tl.constexpr,
    S: tl.constexpr,
    C: tl.constexpr,
    LANES_C: tl.constexpr,
    CHILDREN: tl.constexpr,
    TAU: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    n = tl.program_id(0).to(tl.int64)
    row = n // S
    c = tl.arange(0, LANES_C)
    mask = c < C
    of_slot = (row * K + depth) * C + c
    x = tl.zeros((LANES_C,), tl.float32)
    for part in tl.static_range(P):
        x += tl.load(parts + (part * N + n) * C + c, mask=mask, other=0.0)
    x = (tl.load(logits + of_slot, mask=mask, other=float("-inf")) + x).to(tl.float64)
    temperature = tl.load(temperatures + row)
    x = (x - tl.max(x)) / tl.where(temperature > 0, temperature, 1.0)
    score = x + tl.load(noise + of_slot, mask=mask, other=0.0)  # log q + g but for a constant
    behind = score - tl.max(score)
    weight = tl.exp(tl.where(temperature > 0, behind / TAU, behind))
    mass = tl.sum(weight)
    for child in tl.static_range(CHILDREN):
        most = tl.max(score)
        place = tl.min(tl.where(score == most, c, LANES_C))
        there = c == place
        tl.store(chances + n * CHILDREN + child, tl.sum(tl.where(there, weight, 0.0)) / mass)
        token = tl.load(ids + (row * K + depth) * C + place, mask=place < C, other=0)  # none where logits are nan
        tl.store(tokens + n * CHILDREN + child, token)
        score = tl.where(there, float("-inf"), score)
        weight = tl.where(there, 0.0, weight)


def frontier(
    chance_NC: Tensor, token_NC: Tensor, sites: DraftSites, frontiers: Frontiers, step: Step, survival: float,
    *, overlap: bool = False,
) -> None:  # fmt: skip
    """The best children of a depth become nodes, and the best of these the next frontier, as in `fef.laws.growth.grow`."""
    _, B, F = frontiers.token_TBF.shape
    C = chance_NC.shape[1]
    _frontier_kernel[(B,)](
        chance_NC,
        token_NC,
        sites.limit_B,
        pointers(frontiers),
        B,
        F,
        frontiers.chance_BM.shape[1],
        step.depth,
        step.start,
        S=step.states,
        C=C,
        KEEP=step.keep,
        GO_ON=min(F, step.keep),
        SURVIVAL=survival,
        LANES=triton.next_power_of_2(step.states * C),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=4,
    )


@triton.jit(do_not_specialize=["depth", "start"])
def _frontier_kernel(
    chances,
    tokens,
    limits,
    frontiers,
    B,
    F,
    M,
    depth,
    start,
    S: tl.constexpr,
    C: tl.constexpr,
    KEEP: tl.constexpr,
    GO_ON: tl.constexpr,
    SURVIVAL: tl.constexpr,
    LANES: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    row = tl.program_id(0).to(tl.int64)
    here = (depth * B + row) * F
    m = tl.arange(0, LANES)
    mask = m < S * C
    state, candidate = tl.minimum(m // C, S - 1), m % C
    reached = tl.load(frontiers.reached + here + state, mask=mask & (depth > 0), other=1.0)
    father = tl.load(frontiers.number + here + state, mask=mask & (depth > 0), other=0)
    chance = tl.load(chances + row * (S * C) + m, mask=mask, other=-1.0)
    token = tl.load(tokens + row * (S * C) + m, mask=mask, other=0)
    there = mask & (chance >= 0)  # nan has no order, and nodes without one would leave places unwritten
    worth = there & (reached >= SURVIVAL) & (depth < tl.load(limits + row)) & ((candidate == 0) | (chance > 0))
    joint = tl.where(worth, reached * chance, -1.0)
    before = (joint[None, :] > joint[:, None]) | ((joint[None, :] == joint[:, None]) & (m[None, :] < m[:, None]))
    rank = tl.sum(before.to(tl.int32), axis=1)

    node = row * M + start + rank
    kept = mask & (rank < KEEP)
    tl.store(frontiers.chance + node, joint, mask=kept)
    tl.store(frontiers.father + node, father, mask=kept)
    tl.store(frontiers.held + node, token, mask=kept)
    tl.store(frontiers.candidate + node, candidate.to(tl.int64), mask=kept)
    tl.store(frontiers.depth + node, candidate.to(tl.int64) * 0 + depth + 1, mask=kept)
    below = here + B * F + rank
    goes_on = mask & (rank < GO_ON)
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
