"""The packed pattern on real networks: what each target depends on, exactly, and that caches change nothing."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny_network import MASK, tiny_network
from torch import Tensor

from fef.laws.accept import Accepted, agreement
from fef.laws.growth import best_tree
from fef.laws.tree import Tree, given_chain
from fef.models.packed import PADDING, REVEALED, packed_target_logits
from fef.models.packed_forward import BlockLayer, Bounds, TorchForward
from fef.models.packed_pass import PassSlots, PassTokens, RoundShape, SlotTable, context_pass, moves, round_pass
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

DEPTHS = pytest.mark.parametrize("layers", [1, 2, 3, 5, 8])
ROWS, LENGTH = 3, 11


def ranked(order: str, lengths: Tensor | None, seed: int = 0) -> Tensor:
    """Ranks [B, L] of about two thirds of the positions; the others are revealed or padding."""
    generator = torch.Generator().manual_seed(seed)
    rank = torch.full((ROWS, LENGTH), REVEALED)
    for b in range(ROWS):
        end = LENGTH if lengths is None else int(lengths[b])
        slots = torch.arange(end)[torch.rand(end, generator=generator) < 0.7]
        if order == "random":
            slots = slots[torch.randperm(len(slots), generator=generator)]
        rank[b, slots] = torch.arange(len(slots))
    return rank


def texts(rank: Tensor, seed: int = 1) -> tuple[Tensor, Tensor]:
    """The canvas with its masks, and the clean text."""
    clean = torch.randint(0, MASK, rank.shape, generator=torch.Generator().manual_seed(seed))
    return clean.masked_fill(rank >= 0, MASK), clean


def slots_in_order(rank: Tensor) -> Tensor:
    """Positions of the slots of each row by rank, -1 behind the last: [B, S]."""
    count = int(rank.max()) + 1
    slots = torch.full((len(rank), count), -1)
    for b, i in itertools.product(range(len(rank)), range(rank.shape[1])):
        if rank[b, i] >= 0:
            slots[b, rank[b, i]] = i
    return slots


def at(logits_BLV: Tensor, slots_BS: Tensor) -> Tensor:
    picked = logits_BLV.gather(1, slots_BS.clamp(min=0)[..., None].expand(-1, -1, logits_BLV.shape[-1]))
    return picked.masked_fill((slots_BS < 0)[..., None], 0.0)


@DEPTHS
@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_a_target_depends_on_earlier_references_only(layers, order):
    """Exactly: changing any reference at or after slot j leaves the target at slot j bit for bit."""
    model = tiny_network(layers=layers)
    rank = ranked(order, None)
    ids, clean = texts(rank)
    base = packed_target_logits(model, ids, clean, rank)
    for place in range(int(rank.max()) + 1):
        changed = torch.where(rank == place, (clean + 3) % MASK, clean)
        moved = packed_target_logits(model, ids, changed, rank)
        for b in range(ROWS):
            early, late = (rank[b] >= 0) & (rank[b] <= place), rank[b] > place
            assert torch.equal(moved[b][early], base[b][early])
            if bool((rank[b] == place).any()) and bool(late.any()):
                assert bool((moved[b][late] != base[b][late]).any(-1).all())


@pytest.mark.parametrize("layers", [1, 4])
def test_a_target_depends_on_what_is_revealed_and_on_later_masks(layers):
    model = tiny_network(layers=layers)
    rank = ranked("random", None)
    ids, clean = texts(rank)
    base = packed_target_logits(model, ids, clean, rank)
    revealed = int((rank[0] == REVEALED).nonzero()[0])
    ids[0, revealed] = clean[0, revealed] = (clean[0, revealed] + 1) % MASK
    moved = packed_target_logits(model, ids, clean, rank)
    assert bool((moved[0][rank[0] >= 0] != base[0][rank[0] >= 0]).any(-1).all())
    assert torch.equal(moved[1:], base[1:])


class Passes:
    """Passes over caches of one denoising pass, in which every committed token was a reference of the pass before."""

    def __init__(self, model: Transformer, ids: Tensor, rank: Tensor, lengths: Tensor | None = None) -> None:
        lengths = torch.full((len(ids),), ids.shape[1]) if lengths is None else lengths
        open_ = (rank >= 0).sum(1)
        outside = torch.arange(ids.shape[1]) >= lengths[:, None]
        order = torch.nn.functional.pad(slots_in_order(rank).clamp(min=0), (0, ids.shape[1] - int(open_.max())))
        self.slots = PassSlots(
            table=SlotTable(len(ids), ids.shape[1], ids.shape[1], 0, 64),
            order_SR=order,
            rank_SL=rank.masked_fill(outside, PADDING),
            length_S=lengths,
            open_S=open_,
            done_S=torch.zeros_like(open_),
            live_S=torch.ones_like(open_).bool(),
        )
        self.model, self.cache = model, SlotCache.empty(model.config, self.slots.table, ids.device, torch.float64)
        shape = RoundShape(0, 0, int(open_.max()))
        self.first_logits = self.run(context_pass(self.slots, shape, ids, MASK))

    def run(self, tokens: PassTokens) -> Tensor:
        """Logits of the queries [B, Q, V], zero where there is none."""
        table = self.slots.table
        forward = TorchForward(self.model, [BlockLayer(b) for b in self.model.blocks], self.cache, table)
        rows = torch.arange(len(tokens.ids_BN))
        valid = tokens.valid_BN[:, -tokens.shape.queries :]
        logits = torch.zeros(*valid.shape, self.model.vocab_size, dtype=torch.float64)
        hidden = forward(self.slots, tokens, rows, Bounds(table.context, table.ranks))
        logits[valid] = self.model.logits(hidden)
        return logits

    def round(self, given: Tensor, starts: list[int], depth: int, width: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Targets at the next slots, whose tokens are given [B, W], and groups [B, G, D, V] behind window places."""
        left = self.slots.open_S - self.slots.done_S
        width = left.clamp(max=given.shape[1]) if width is None else width
        ids = torch.nn.functional.pad(given, (1, 0))
        begin = torch.tensor(starts).expand(len(given), -1)
        waits = torch.zeros_like(width).bool()
        shape = RoundShape(given.shape[1], len(starts) - 1, depth)
        tree = given_chain(width, given.shape[1])
        logits = self.run(round_pass(self.slots, shape, tree, ids, waits, begin, MASK))
        targets, behind = logits[:, : shape.states], logits[:, shape.states :]
        # a group begins with the target of its state
        groups = torch.cat(
            [targets[:, starts, None], behind.reshape(len(given), len(starts), depth - 1, targets.shape[-1])], 2
        )
        return targets[:, : given.shape[1]], groups

    def verify(self, tree: Tree, draft: Tensor, drawn: Tensor) -> tuple[Tensor, Accepted]:
        """Targets of the states of a tree, and what is accepted of it if `drawn` is what they draw. Keeps that path."""
        left = self.slots.open_S - self.slots.done_S
        start, shape = torch.full((len(draft), 1), -1), RoundShape(draft.shape[1], 0, 1, tree.branching)
        ids, waits = torch.nn.functional.pad(draft, (1, 0)), torch.zeros_like(left).bool()
        tokens = round_pass(self.slots, shape, tree, ids, waits, start, MASK)
        logits = self.run(tokens)
        accepted = agreement(drawn, tree, draft, left)
        forward = TorchForward(self.model, [], self.cache, self.slots.table)
        table = self.slots.table
        bounds = Bounds(table.context, table.ranks)
        forward.keep_path(torch.arange(len(draft)), *moves(self.slots, tokens, accepted), bounds)
        self.commit(accepted.accepted_B)
        return logits, accepted

    def commit(self, count: Tensor) -> None:
        self.slots.done_S = self.slots.done_S + count

    def select(self, rows: Tensor) -> None:
        tensors = {name: value[rows] for name, value in vars(self.slots).items() if name != "table"}
        self.slots = PassSlots(self.slots.table, **tensors)
        self.cache = self.cache.select(rows)


@DEPTHS
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("split", [1, 2, 3, 8])
def test_caches_change_nothing(layers, ragged, order, split):
    """Each round verifies `split` true tokens, and reads targets and a group of one behind them."""
    model = tiny_network(layers=layers, heads=4, kv_heads=2)
    lengths = torch.tensor([11, 8, 5]) if ragged else None
    rank = ranked(order, lengths)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    expected = at(packed_target_logits(model, ids, clean, rank, lengths), slots)
    passes = Passes(model, ids, rank, lengths)
    for start in range(0, slots.shape[1], split):
        window = torch.nn.functional.pad(slots, (0, split + 1), value=-1)[:, start : start + split + 1]
        targets, groups = passes.round(clean.gather(1, window[:, :split].clamp(min=0)), [split], 1)
        found = torch.cat([targets, groups[:, 0]], 1)[
            :, : slots.shape[1] - start
        ]  # alone in its group: the next target
        torch.testing.assert_close(found, expected[:, start : start + split + 1], rtol=0, atol=1e-10)
        passes.commit((window[:, :split] >= 0).sum(1))


@DEPTHS
def test_draft_groups_of_one_pass_do_not_see_each_other(layers):
    """Groups behind 0, 2 and 3 of four references equal the passes that make each of them alone."""
    model = tiny_network(layers=layers)
    rank = torch.arange(LENGTH).repeat(ROWS, 1)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    targets, groups = Passes(model, ids, rank).round(clean[:, :4], [0, 2, 3], 5)
    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    torch.testing.assert_close(targets, expected[:, :4], rtol=0, atol=1e-10)
    for g, start in enumerate((0, 2, 3)):
        torch.testing.assert_close(groups[:, g, 0], expected[:, start], rtol=0, atol=1e-10)
        _, alone = Passes(model, ids, rank).round(clean[:, :start], [start], 5)
        torch.testing.assert_close(groups[:, g], alone[:, 0], rtol=0, atol=1e-10)


@DEPTHS
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("nodes", [3, 6, 12])
def test_each_state_of_a_tree_has_the_target_of_its_own_path(layers, order, nodes):
    """Against one uncached pass per state; and after the round, the path that held is as if it had been there alone."""
    model = tiny_network(layers=layers, heads=4, kv_heads=2)
    rank = ranked(order, None)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    generator = torch.Generator().manual_seed(layers)
    passes = Passes(model, ids, rank)
    passes.round(clean.gather(1, slots[:, :1].clamp(min=0)), [1], 1)
    passes.commit(torch.ones(ROWS, dtype=torch.int64))
    draft_BDC = torch.stack([torch.randperm(MASK, generator=generator)[:3] for _ in range(ROWS * 3)]).view(ROWS, 3, 3)
    right = clean.gather(1, slots[:, 1:4].clamp(min=0))  # the true token is the second candidate
    draft_BDC = torch.where(draft_BDC == right[..., None], draft_BDC[..., 1:2], draft_BDC)
    draft_BDC[..., 1] = right
    holds = torch.rand(ROWS, 3, 3, dtype=torch.float64, generator=generator).sort(-1, descending=True).values
    tree = best_tree(holds, torch.tensor([3, 3, 2]), nodes)
    draft = tree.tokens(draft_BDC)
    drawn = clean.gather(1, slots[:, 1:].clamp(min=0).gather(1, tree.depth_BX))
    logits, accepted = passes.verify(tree, draft, drawn)
    for b, state in itertools.product(range(ROWS), range(nodes + 1)):
        if not bool(tree.there_BX[b, state]):
            continue
        text, node = clean[b].clone(), state
        while node:
            text[slots[b, int(tree.depth_BX[b, node])]] = draft[b, node - 1]
            node = int(tree.parent_BW[b, node - 1])
        at_ = int(slots[b, 1 + int(tree.depth_BX[b, state])])
        expected = packed_target_logits(model, ids[b : b + 1], text[None], rank[b : b + 1])[0, at_]
        torch.testing.assert_close(logits[b, state], expected, rtol=0, atol=1e-10)
    assert nodes < 12 or bool((accepted.accepted_B > 0).all())
    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    done = passes.slots.done_S
    rest = torch.nn.functional.pad(slots.clamp(min=0), (0, LENGTH)).gather(1, done[:, None] + torch.arange(LENGTH))
    after, _ = passes.round(clean.gather(1, rest), [LENGTH], 1)
    for b in range(ROWS):
        left = int(passes.slots.open_S[b] - done[b])
        torch.testing.assert_close(after[b, :left], expected[b, int(done[b]) :][:left], rtol=0, atol=1e-10)


@pytest.mark.parametrize("accepted", [0, 1, 2, 3])
def test_rejected_references_leave_no_trace(accepted):
    """After a round with wrong drafts, everything is as if they had never been tried; rows differ in what they keep."""
    model = tiny_network(layers=3)
    rank = torch.arange(LENGTH).repeat(ROWS, 1)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    keep = torch.tensor([accepted, (accepted + 1) % 4, 3 - accepted])
    drafts = torch.where(torch.arange(3) < keep[:, None], clean[:, :3], (clean[:, :3] + 1) % MASK)
    passes = Passes(model, ids, rank)
    passes.round(drafts, [3], 3)
    passes.commit(keep)
    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    rest = torch.nn.functional.pad(clean, (0, LENGTH)).gather(1, keep[:, None] + torch.arange(LENGTH))
    logits, _ = passes.round(rest, [LENGTH], 1)
    for b in range(ROWS):
        left = LENGTH - int(keep[b])
        torch.testing.assert_close(logits[b, :left], expected[b, int(keep[b]) :], rtol=0, atol=1e-10)


@DEPTHS
def test_the_first_draft_of_the_context_pass_is_its_target(layers):
    model = tiny_network(layers=layers)
    lengths = torch.tensor([11, 7, 9])
    rank = ranked("random", lengths)
    ids, clean = texts(rank)
    expected = at(packed_target_logits(model, ids, clean, rank, lengths), slots_in_order(rank))
    found = Passes(model, ids, rank, lengths).first_logits
    torch.testing.assert_close(found[:, 0], expected[:, 0], rtol=0, atol=1e-10)


def test_rows_can_be_dropped_between_passes():
    model = tiny_network(layers=2)
    rank = ranked("random", None)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    passes = Passes(model, ids, rank)
    passes.round(clean.gather(1, slots[:, :2]), [2], 1)
    passes.commit(torch.full((ROWS,), 2))
    chosen = torch.tensor([2, 0])
    passes.select(chosen)
    window = slots[chosen][:, 2:4]
    targets, _ = passes.round(clean[chosen].gather(1, window.clamp(min=0)), [2], 1)
    torch.testing.assert_close(targets, expected[chosen][:, 2:4], rtol=0, atol=1e-10)


def plain_prefix_logits(model: Transformer, ids: Tensor, clean: Tensor, rank: Tensor) -> Tensor:
    """One plain forward a prefix state: the rows law."""
    out = torch.zeros(*ids.shape, model.vocab_size, dtype=torch.float64)
    for place in range(int(rank.max()) + 1):
        state = torch.where((rank >= 0) & (rank < place), clean, ids)
        out = torch.where((rank == place)[..., None], model(state), out)
    return out


@pytest.mark.parametrize("layers", [2, 4])
def test_the_rows_law_is_another_law(layers):
    """One pass cannot score all prefixes of a bidirectional network, except at the first slot."""
    model = tiny_network(layers=layers)
    rank = torch.arange(LENGTH).repeat(ROWS, 1)
    ids, clean = texts(rank)
    rows = plain_prefix_logits(model, ids, clean, rank).log_softmax(-1)
    packed = packed_target_logits(model, ids, clean, rank).log_softmax(-1)
    torch.testing.assert_close(rows[:, 0], packed[:, 0], rtol=0, atol=1e-10)
    assert float((rows[:, 1:].exp() - packed[:, 1:].exp()).abs().sum(-1).mean()) / 2 > 0.01


def test_with_one_layer_and_no_positions_seen_twice_the_laws_agree():
    """One layer has no deep states: every token's keys depend on itself alone, so packed is exact."""
    model = tiny_network(layers=1)
    rank = torch.arange(LENGTH).repeat(ROWS, 1)
    ids, clean = texts(rank)
    torch.testing.assert_close(
        plain_prefix_logits(model, ids, clean, rank), packed_target_logits(model, ids, clean, rank), rtol=0, atol=1e-10
    )
