"""The tokens of a pass, and what each of them sees, are those of the packed pattern."""

from __future__ import annotations

import pytest
import torch

from fef.engine.rounds import compose_context, compose_round
from fef.engine.slots import PassRequest, SlotState
from fef.laws.growth import best_tree
from fef.laws.tree import chain_tree
from fef.laws.window import SURVIVAL, group_starts
from fef.models.packed import PADDING, PackedTokens, Stream, packed_visible
from fef.models.packed_forward import Bounds, visible_keys
from fef.models.packed_pass import NO_GROUP, PassTokens, RoundShape, SlotTable, states_of_queries

MASK = 99
SLOTS, CONTEXT, RANKS = 12, 16, 13
SHAPES = [RoundShape(0), RoundShape(1, 1), RoundShape(4), RoundShape(4, 2), RoundShape(4, 3, 2), RoundShape(9, 3)]
TREES = [
    RoundShape(1, 1, 2, 2),
    RoundShape(4, 2, 3, 2),
    RoundShape(8, 8, 4, 3),
    RoundShape(20, 3, 6, 2),
    RoundShape(64, 5, 5, 4),
]


def state_of(shape: RoundShape, seed: int) -> SlotState:
    """Slots in the middle of decoding, in any order; the last is not live."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    drafts, candidates = shape.depth if shape.branching > 1 else max(shape.depth, shape.window), shape.branching
    table = SlotTable(SLOTS, CONTEXT, RANKS, drafts, shape.scratch, candidates)
    state = SlotState.empty(table, torch.device("cpu"))
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
        state.draft_SKC[slot] = 70 + torch.arange(drafts)[:, None] + 100 * torch.arange(candidates)
        holds_KC = torch.rand(drafts, candidates, generator=generator, dtype=torch.float64) ** 0.2
        state.holds_SKC[slot] = (holds_KC / candidates).sort(-1, descending=True).values
    state.live_S[SLOTS - 1] = False
    return state


def as_packed(state: SlotState, tokens: PassTokens, is_context: bool) -> PackedTokens:
    """The composed tokens of a chain in the words of `fef.models.packed`; a target is a draft group of one."""
    shape = tokens.shape
    lead = tokens.ids_BN.shape[1] - shape.queries
    stream = torch.full_like(tokens.ids_BN, Stream.DRAFT)
    stream[:, :lead] = Stream.CONTEXT if is_context else Stream.REFERENCE
    limit_BQ = state.done_S[:, None] + states_of_queries(tokens.start_BG, shape)
    rank_BN = tokens.rank_BN.clone()
    if is_context:
        rank_BN[:, :lead] = state.rank_SL[:, :lead]
    limit_BN = torch.cat([rank_BN[:, :lead] + 1, limit_BQ], 1)
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


@pytest.mark.parametrize("shape", SHAPES + TREES, ids=str)
def test_tokens_of_a_round_one_by_one(shape):
    """And what each of them sees, against loops over the nodes."""
    state = state_of(shape, seed=7)
    tokens = compose_round(state, shape, MASK)
    row_T, column_T = tokens.valid_BN.nonzero(as_tuple=True)
    seen_TK = visible_keys(state, tokens, Bounds(CONTEXT, RANKS), row_T, column_T)
    branches = 0
    for b in range(SLOTS):
        order, done, open_ = state.order_SR[b].tolist(), int(state.done_S[b]), int(state.open_S[b])
        live, nodes = bool(state.live_S[b]), int(tokens.tree.nodes_B[b])
        assert 0 <= nodes <= shape.window and (nodes == 0 or int(state.drafted_S[b]) > 0)
        paths = paths_of(tokens, b)
        assert max(map(len, paths)) <= min(int(state.drafted_S[b]), open_ - done) or nodes == 0
        stem = [path for path in paths if not any(path)]
        branches += len(paths) - len(stem)
        scratch = CONTEXT + RANKS
        expected = []  # (id, position, place, rank, group), (references, queries, nodes off the stem)

        def references(path, stem=stem, done=done):
            return set(range(done + len(max((p for p in stem if p == path[: len(p)]), key=len))))

        def off_stem(path, paths=paths, stem=stem):
            ancestors = [path[:depth] for depth in range(1, len(path) + 1)]
            return {paths.index(p) - 1 for p in ancestors if p not in stem}

        if done and live:
            expected.append(
                (
                    (50 + done - 1, order[done - 1], CONTEXT + done - 1, done - 1, NO_GROUP),
                    (set(range(done)), set(), set()),
                )
            )
        for n, path in enumerate(paths[1:]):
            rank = done - 1 + len(path)
            place = CONTEXT + rank if path in stem else scratch + shape.queries + n
            id_ = 70 + len(path) - 1 + 100 * path[-1]
            expected.append(((id_, order[rank], place, rank, NO_GROUP), (references(path), set(), off_stem(path))))
        for number, path in enumerate(paths):
            rank = done + len(path)
            if live and rank < open_:
                sees = references(path), {number}, off_stem(path)
                expected.append(((MASK, order[rank], scratch + number, rank, number), sees))
        for g, start in enumerate(tokens.start_BG[b].tolist()):
            for member in range(1, shape.depth):
                path, query = paths[max(start, 0)], shape.states + g * (shape.depth - 1) + member - 1
                rank = done + len(path) + member
                if live and start >= 0 and rank < open_:
                    sees = references(path), {start, *range(query - member + 1, query + 1)}, off_stem(path)
                    expected.append(((MASK, order[rank], scratch + query, rank, start), sees))
        columns = (tokens.ids_BN, tokens.position_BN, tokens.place_BN, tokens.rank_BN, tokens.group_BN)
        valid = tokens.valid_BN[b]
        assert list(zip(*(c[b][valid].tolist() for c in columns), strict=True)) == [token for token, _ in expected]
        assert (tokens.place_BN[b][~valid] == state.table.nowhere).all()
        assert (tokens.group_BN[b][~valid] == NO_GROUP).all()
        assert (tokens.limit_BN[b][~valid] == 0).all() and (tokens.seen_BN[b][~valid] == 0).all()
        for seen_K, (_, sees) in zip(seen_TK[row_T == b], expected, strict=True):
            by_rank, _, query, node = seen_K.split([RANKS, CONTEXT, shape.queries, shape.off_stem])
            found = [RANKS - 1 - i for i in by_rank.nonzero()[:, 0].tolist()], query.nonzero()[:, 0].tolist()
            assert (set(found[0]), set(found[1]), set(node.nonzero()[:, 0].tolist())) == sees
    assert (branches > 0) == (shape.branching > 1 and shape.window > 1)


def paths_of(tokens: PassTokens, row: int) -> list[tuple[int, ...]]:
    """Candidates on the path to each state, the root first."""
    paths: list[tuple[int, ...]] = [()]
    for n in range(int(tokens.tree.nodes_B[row])):
        assert bool(tokens.tree.there_BW[row, n])
        paths.append((*paths[int(tokens.tree.parent_BW[row, n])], int(tokens.tree.candidate_BW[row, n])))
    return paths


@pytest.mark.parametrize("shape", [s for s in SHAPES + TREES if s.window], ids=str)
def test_a_round_verifies_the_worthwhile_drafts_and_drafts_at_its_likely_ends(shape):
    for seed in range(3):
        state = state_of(shape, seed)
        tokens = compose_round(state, shape, MASK)
        for row in range(SLOTS):
            left = int(state.open_S[row] - state.done_S[row]) if state.live_S[row] else 0
            limit = torch.tensor([min(int(state.drafted_S[row]), left)])
            holds = state.holds_SKC[row : row + 1, : shape.window]
            if shape.branching == 1:
                tree = chain_tree(holds[..., 0], limit, SURVIVAL)
            else:
                tree = best_tree(holds, limit, shape.window)
            assert int(tokens.tree.nodes_B[row]) == int(tree.nodes_B)
            assert tokens.tree.chance_BX[row].tolist() == tree.chance_BX[0].tolist()
            assert tokens.start_BG[row].tolist() == group_starts(tree, shape.anchors)[0].tolist()


def test_shapes():
    assert (RoundShape(4).depth, RoundShape(4, 9).anchors, RoundShape(0, 3).anchors) == (5, 4, 0)
    shape = RoundShape(4, 2)
    assert (shape.groups, shape.queries, shape.tokens) == (3, 5 + 3 * 4, 5 + 5 + 3 * 4)
    assert RoundShape(4, 2) == RoundShape(4, 2, 5)
    tree = RoundShape(8, 3, 4, 2)
    assert (tree.queries, tree.off_stem, tree.scratch) == (9 + 4 * 3, 8, 9 + 4 * 3 + 8)
    assert shape.scratch == shape.queries
