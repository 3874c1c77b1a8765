"""The tokens of a pass, and what each of them sees, are those of the packed pattern."""

from __future__ import annotations

import pytest
import torch

from fef.engine.rounds import compose_context, compose_round
from fef.engine.slots import PassRequest, SlotState
from fef.laws.window import SURVIVAL, chance_of_runs, likely_ends, worthwhile
from fef.models.packed import PADDING, PackedTokens, Stream, packed_visible
from fef.models.packed_forward import Bounds, visible_keys
from fef.models.packed_pass import NO_GROUP, PassTokens, RoundShape, SlotTable

MASK = 99
SLOTS, CONTEXT, RANKS = 12, 16, 13
SHAPES = [RoundShape(0), RoundShape(1, 1), RoundShape(4), RoundShape(4, 2), RoundShape(4, 3, 2), RoundShape(9, 3)]


def state_of(shape: RoundShape, seed: int) -> SlotState:
    """Slots in the middle of decoding, in any order; the last is not live."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    drafts = max(shape.depth, shape.window)
    state = SlotState.empty(SlotTable(SLOTS, CONTEXT, RANKS, drafts, shape.queries), torch.device("cpu"))
    for slot in range(SLOTS):
        length = number(1, CONTEXT)
        order = torch.randperm(length, generator=generator)[: number(1, min(length, RANKS))]
        order = order if slot % 2 else order.sort().values
        ids = [10 + p if p not in order else MASK for p in range(length)]
        state.load(torch.tensor([slot]), PassRequest(ids, order.tolist()).pack(state.table)[None])
        done = (0, len(order) - 1, number(0, len(order) - 1))[slot % 3]
        state.done_S[slot] = done
        for rank in range(done):
            state.ids_SL[slot, order[rank]] = 50 + rank
        state.drafted_S[slot] = min(number(0, drafts), len(order) - done)
        state.draft_SK[slot] = 70 + torch.arange(drafts)
        state.holds_SK[slot] = torch.rand(drafts, generator=generator, dtype=torch.float64) ** 0.2
    state.live_S[SLOTS - 1] = False
    return state


def as_packed(state: SlotState, tokens: PassTokens, is_context: bool) -> PackedTokens:
    """The composed tokens in the words of `fef.models.packed`."""
    shape = tokens.shape
    lead = tokens.ids_BN.shape[1] - shape.queries
    stream = torch.full_like(tokens.ids_BN, Stream.DRAFT)
    stream[:, :lead] = Stream.CONTEXT if is_context else Stream.REFERENCE
    stream[:, lead : lead + shape.window] = Stream.TARGET
    index_NB = torch.arange(shape.queries)
    group_Q = torch.where(index_NB < shape.window, 0, (index_NB - shape.window) // shape.depth)
    limit_BQ = state.done_S[:, None] + tokens.start_BG[:, group_Q]
    rank_BN = tokens.rank_BN.clone()
    if is_context:
        rank_BN[:, :lead] = state.rank_SL[:, :lead]
    limit_BN = torch.cat([rank_BN[:, :lead] + 1, limit_BQ], 1)
    is_target = stream == Stream.TARGET
    limit_BN = torch.where(is_target, rank_BN, limit_BN)
    return PackedTokens(tokens.position_BN, stream.masked_fill(~tokens.valid_BN, Stream.ABSENT), rank_BN, limit_BN)


def all_keys(state: SlotState, tokens: PackedTokens, queries: int, bounds: Bounds) -> PackedTokens:
    """References by rank from right to left, the context, and the queries of the pass: the columns of `visible_keys`."""
    B = len(state.done_S)
    rank_BR = torch.arange(bounds.references - 1, -1, -1).expand(B, -1)
    context_BL = state.rank_SL[:, : bounds.context].long()
    absent = torch.where(context_BL == PADDING, int(Stream.ABSENT), int(Stream.CONTEXT))
    zero_BL, zero_BR = torch.zeros_like(context_BL), torch.zeros_like(rank_BR)
    own = PackedTokens(*(x[:, -queries:] for x in vars(tokens).values()))
    references = PackedTokens(zero_BR, torch.full_like(rank_BR, Stream.REFERENCE), rank_BR, zero_BR)
    return PackedTokens.cat([references, PackedTokens(zero_BL, absent, context_BL, zero_BL), own])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounds_see_what_the_packed_pattern_says(shape, seed):
    state = state_of(shape, seed)
    tokens = compose_round(state, shape, MASK)
    bounds = Bounds(CONTEXT, RANKS)
    row_T, column_T = tokens.valid_BN.nonzero(as_tuple=True)
    found = visible_keys(state, tokens, bounds, row_T, column_T)
    packed = as_packed(state, tokens, is_context=False)
    keys = all_keys(state, packed, shape.queries, bounds)
    assert torch.equal(found, packed_visible(packed, keys)[row_T, column_T])
    assert len(row_T) > 0 and bool(found.any())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("depth", [1, 3, 10])
def test_a_context_pass_sees_what_the_packed_pattern_says(depth, seed):
    shape = RoundShape(0, 0, depth)
    state = state_of(shape, seed)
    state.done_S[:] = 0
    tokens = compose_context(state, shape, CONTEXT, MASK)
    bounds = Bounds(CONTEXT, 0)
    row_T, column_T = tokens.valid_BN.nonzero(as_tuple=True)
    packed = as_packed(state, tokens, is_context=True)
    keys = all_keys(state, packed, depth, bounds)
    found = visible_keys(state, tokens, bounds, row_T, column_T)
    assert torch.equal(found, packed_visible(packed, keys)[row_T, column_T])
    assert torch.equal(tokens.ids_BN[:, :CONTEXT], state.ids_SL[:, :CONTEXT])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tokens_of_a_round_one_by_one(shape):
    state = state_of(shape, seed=7)
    tokens = compose_round(state, shape, MASK)
    for b in range(SLOTS):
        order, done, open_ = state.order_SR[b].tolist(), int(state.done_S[b]), int(state.open_S[b])
        live, width = bool(state.live_S[b]), int(tokens.width_B[b])
        assert 0 <= width <= min(shape.window, int(state.drafted_S[b]), open_ - done if live else 0)
        expected = []  # (id, position, place, rank, group)
        if done and live:
            expected.append((50 + done - 1, order[done - 1], CONTEXT + done - 1, done - 1, NO_GROUP))
        expected += [(70 + i, order[done + i], CONTEXT + done + i, done + i, NO_GROUP) for i in range(width)]
        scratch = CONTEXT + RANKS
        for i in range(width):
            expected.append((MASK, order[done + i], scratch + i, done + i, i))
        for g, start in enumerate(tokens.start_BG[b].tolist()):
            for member in range(shape.depth):
                rank = done + start + member
                if live and start >= 0 and rank < open_:
                    place = scratch + shape.window + g * shape.depth + member
                    expected.append((MASK, order[rank], place, rank, shape.window + g))
        columns = (tokens.ids_BN, tokens.position_BN, tokens.place_BN, tokens.rank_BN, tokens.group_BN)
        valid = tokens.valid_BN[b]
        assert list(zip(*(c[b][valid].tolist() for c in columns), strict=True)) == expected
        assert (tokens.place_BN[b][~valid] == state.table.nowhere).all()
        assert (tokens.group_BN[b][~valid] == NO_GROUP).all()
        assert (tokens.limit_BN[b][~valid] == 0).all()


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.window], ids=str)
def test_a_round_verifies_the_worthwhile_drafts_and_drafts_at_its_likely_ends(shape):
    for seed in range(5):
        state = state_of(shape, seed)
        tokens = compose_round(state, shape, MASK)
        for row in range(SLOTS):
            chance_1X = chance_of_runs(state.holds_SK[row : row + 1, : shape.window])
            left = int(state.open_S[row] - state.done_S[row]) if state.live_S[row] else 0
            width = min(int(worthwhile(chance_1X, SURVIVAL)), int(state.drafted_S[row]), left)
            assert int(tokens.width_B[row]) == width
            ends = likely_ends(chance_1X, torch.tensor([width]), shape.anchors)[0].tolist()
            assert tokens.start_BG[row].tolist() == [width, *ends]


def test_shapes():
    assert (RoundShape(4).depth, RoundShape(4, 9).anchors, RoundShape(0, 3).anchors) == (5, 4, 0)
    shape = RoundShape(4, 2)
    assert (shape.groups, shape.queries, shape.tokens) == (3, 4 + 3 * 5, 5 + 4 + 3 * 5)
    assert RoundShape(4, 2) == RoundShape(4, 2, 5)
