"""Random slots in the middle of decoding, for the kernels that compose and advance passes."""

import dataclasses

import torch

from fef.engine.advance import end_rules
from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.rounds import compose_context, compose_round
from fef.engine.slots import NEVER, PassRequest, SlotState
from fef.models.packed_pass import PassTokens, RoundShape, SlotTable

__all__ = ["EDGES", "EOS", "MASK", "SHAPES", "SLOTS", "TREES", "moved", "plain_inputs", "plain_tokens", "random_state"]

EOS, MASK, VOCABULARY = 2, 9, 10
SLOTS = torch.tensor([3, 8, 0, 7, 1, 8, 2, 5, 4, 6])  # rows of a pass: the spare slot twice
SHAPES = [
    RoundShape(0),
    RoundShape(0, 0, 5),
    RoundShape(1),
    RoundShape(1, 1),
    RoundShape(4, 2),
    RoundShape(4, 3, 2),
    RoundShape(15, 0, 17),
    RoundShape(16, 2),
    RoundShape(16, 3, 9),
]
TREES = [RoundShape(1, 0, 3, 3), RoundShape(7, 2, 4, 3), RoundShape(16, 3, 6, 4), RoundShape(40, 5, 7, 3)]
# where the states, or the queries, begin to need more lanes
EDGES = [RoundShape(window, anchors, 7, 8) for window in (31, 32, 33) for anchors in (5, 7, 8, 9)]


def random_state(
    window: int,
    depth: int,
    anchors: int,
    seed: int,
    slots: int = 9,
    context: int = 40,
    ranks: int = 28,
    drafts: int | None = None,
    branching: int = 1,
) -> SlotState:
    """The last slot is spare and was never loaded, the one before it is not live."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    drafts = drafts or max(window + 1, depth) + seed % 2
    state = SlotState.empty(
        SlotTable(slots, context, ranks, drafts, RoundShape(window, anchors, depth, branching).scratch, branching),
        torch.device("cpu"),
    )
    for slot in range(slots - 1):
        length = number(1, context)
        ids_L = torch.randint(0, VOCABULARY - 1, (length,), generator=generator)
        order = torch.randperm(length, generator=generator)[: number(1, min(length, ranks))]
        order = order if slot % 3 else order.sort().values
        rest = sorted(set(range(length)) - set(order.tolist()))
        ends = [p for p in rest if ids_L[p] == EOS]
        request = PassRequest(
            ids_L.tolist(),
            order.tolist(),
            step=number(1, 300),
            seed=number(-(2**62), 2**62),
            temperature=number(0, 3) / 2,
            first_end=ends[0] if ends and slot % 2 else NEVER,
            last_other=max((p for p in rest if ids_L[p] != EOS), default=-1) if slot % 4 == 3 else -1,
        )
        state.load(torch.tensor([slot]), request.pack(state.table)[None])
        open_ = len(order)
        done = (0, open_ - 1, max(open_ - 1 - number(0, window + 1), 0), number(0, open_ - 1))[number(0, 3)]
        state.done_S[slot] = done
        state.drafted_S[slot] = min(number(0, drafts), open_ - done)
        order_KV = torch.rand(drafts, max(4, branching), generator=generator).argsort(1)
        state.draft_SKC[slot] = order_KV[:, :branching]
        holds_KC = torch.rand(drafts, branching, generator=generator, dtype=torch.float64)
        if branching > 1:
            holds_KC = (holds_KC / holds_KC.sum(1, keepdim=True)).sort(dim=1, descending=True).values
            holds_KC[:, -1] *= torch.rand(drafts, generator=generator) < 0.5  # tokens that nobody draws
        holds_KC[torch.rand(drafts, generator=generator) < 0.3, 0] = 1.0  # drafts that cannot end a round
        state.holds_SKC[slot] = holds_KC
        state.logprob_SR[slot] = -torch.rand(ranks + 1, generator=generator, dtype=torch.float64)
        state.confidence_SR[slot] = -torch.rand(ranks + 1, generator=generator, dtype=torch.float64)
        state.counters_SC[slot] = torch.randint(0, 50, (state.counters_SC.shape[1],), generator=generator)
    state.live_S[slots - 2] = False
    return state


def moved(state: SlotState, device: str) -> SlotState:
    """A copy on another device, or on the same one."""
    names = [field.name for field in dataclasses.fields(state) if field.name not in ("table", "progress_P")]
    return SlotState(state.table, **{name: getattr(state, name).clone().to(device) for name in names})


def plain_tokens(rows: SlotState, shape: RoundShape, context: int = 0) -> PassTokens:
    return compose_context(rows, shape, context, MASK) if context else compose_round(rows, shape, MASK)


def plain_inputs(
    state: SlotState, slot_B: torch.Tensor, shape: RoundShape, eos_id: int | None, context: int = 0
) -> PassInputs:
    """What the kernel composes, by the plain functions."""
    rows = state.take(slot_B)
    tokens = plain_tokens(rows, shape, context)
    Q, size = shape.queries, tokens.ids_BN.shape
    rules = end_rules(rows, tokens, eos_id)
    no_BQ = torch.zeros(len(slot_B), Q, dtype=torch.bool)
    return PassInputs(
        ids_BN=tokens.ids_BN,
        position_BN=tokens.position_BN,
        place_BN=tokens.place_BN.int(),
        slot_BN=slot_B[:, None].expand(size).int(),
        valid_BN=tokens.valid_BN,
        rank_BN=tokens.rank_BN.int(),
        limit_BN=tokens.limit_BN.int(),
        group_BN=tokens.group_BN.int(),
        seen_BN=tokens.seen_BN,
        width_B=tokens.tree.nodes_B,
        parent_BX=tokens.tree.parent_BX,
        depth_BX=tokens.tree.depth_BX,
        start_BG=tokens.start_BG,
        seed_M=rows.seed_S.repeat_interleave(Q),
        query_position_M=tokens.position_BN[:, -Q:].flatten(),
        step_M=rows.step_S.repeat_interleave(Q),
        temperature_M=rows.temperature_S.repeat_interleave(Q),
        forced_M=(no_BQ if rules is None else rules.forced).flatten(),
        forbidden_M=(no_BQ if rules is None else rules.forbidden).flatten(),
        query_valid_M=tokens.valid_BN[:, -Q:].flatten(),
    )
