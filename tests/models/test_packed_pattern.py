"""The packed pattern on real networks: what each target depends on, exactly, and that caches change nothing."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny_network import MASK, tiny_network
from torch import Tensor

from fef.models.packed import REVEALED, PackedSession, packed_target_logits
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


@DEPTHS
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("split", [1, 2, 3, 100])
def test_caches_change_nothing(layers, ragged, order, split):
    """The session verifies `split` true tokens per pass, and reads targets and a group of drafts behind them."""
    model = tiny_network(layers=layers, heads=4, kv_heads=2)
    lengths = torch.tensor([11, 8, 5]) if ragged else None
    rank = ranked(order, lengths)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    expected = at(packed_target_logits(model, ids, clean, rank, lengths), slots)

    session = PackedSession(model, ids, rank, slots, lengths)
    for start in range(0, slots.shape[1], split):
        window = slots[:, start : start + split]
        behind = torch.nn.functional.pad(slots, (0, 1), value=-1)[:, start + split : start + split + 1]
        tokens = clean.gather(1, window.clamp(min=0))
        targets, drafts = session.extend(window, tokens, window, behind, limits(rank, behind))
        torch.testing.assert_close(
            targets.masked_fill((window < 0)[..., None], 0.0), expected[:, start : start + split], rtol=0, atol=1e-10
        )
        if behind.shape[1] and start + split < slots.shape[1]:  # alone in its group, a draft is the next target
            found = drafts[:, 0].masked_fill((behind < 0), 0.0)
            torch.testing.assert_close(found, expected[:, start + split], rtol=0, atol=1e-10)
        session.absorb((window >= 0).sum(1))


def limits(rank: Tensor, group: Tensor) -> Tensor:
    """The first rank of a draft group, at each of its members."""
    return rank.gather(1, group[:, :1].clamp(min=0)).expand_as(group)


@DEPTHS
def test_draft_groups_of_one_pass_do_not_see_each_other(layers):
    """Groups behind 0, 2 and 3 of four references equal the passes that make each of them alone."""
    model = tiny_network(layers=layers)
    rank = torch.arange(LENGTH).repeat(ROWS, 1)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    window, none = slots[:, :4], slots[:, :0]
    groups = [slots[:, start : start + 5] for start in (0, 2, 3)]
    session = PackedSession(model, ids, rank, none)
    together = torch.cat(groups, 1)
    given = torch.cat([limits(rank, g) for g in groups], 1)
    targets, drafts = session.extend(window, clean[:, :4], window, together, given)
    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    torch.testing.assert_close(targets, expected[:, :4], rtol=0, atol=1e-10)
    for g, start in enumerate((0, 2, 3)):
        found = drafts[:, 5 * g : 5 * g + 5]
        torch.testing.assert_close(found[:, 0], expected[:, start], rtol=0, atol=1e-10)
        alone = PackedSession(model, ids, rank, none)
        seen = slots[:, :start]
        _, drafted = alone.extend(seen, clean[:, :start], none, groups[g], limits(rank, groups[g]))
        torch.testing.assert_close(found, drafted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("accepted", [0, 1, 2, 3])
def test_rejected_references_leave_no_trace(accepted):
    """After a round with wrong drafts, everything is as if they had never been tried; rows differ in what they keep."""
    model = tiny_network(layers=3)
    rank = torch.arange(LENGTH).repeat(ROWS, 1)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    keep = torch.tensor([accepted, (accepted + 1) % 4, 3 - accepted])
    drafts = torch.where(torch.arange(3) < keep[:, None], clean[:, :3], (clean[:, :3] + 1) % MASK)
    none = slots[:, :0]
    session = PackedSession(model, ids, rank, slots)
    session.extend(slots[:, :3], drafts, slots[:, :3], slots[:, 3:6], torch.full((ROWS, 3), 3))
    session.absorb(keep)

    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    for b in range(ROWS):
        rest = slots[b : b + 1, int(keep[b]) :]
        one = PackedSession(model, ids[b : b + 1], rank[b : b + 1], rest)
        one.past, one.cached = session.past.select(torch.tensor([b])), session.cached.select(torch.tensor([b]))
        logits, _ = one.extend(rest, clean[b : b + 1].gather(1, rest), rest, none[b : b + 1], none[b : b + 1])
        torch.testing.assert_close(logits[0], expected[b, int(keep[b]) :], rtol=0, atol=1e-10)


@DEPTHS
def test_the_first_draft_of_the_context_pass_is_its_target(layers):
    model = tiny_network(layers=layers)
    lengths = torch.tensor([11, 7, 9])
    rank = ranked("random", lengths)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    session = PackedSession(model, ids, rank, slots, lengths)
    expected = at(packed_target_logits(model, ids, clean, rank, lengths), slots)
    torch.testing.assert_close(session.first_logits_BDV[:, 0], expected[:, 0], rtol=0, atol=1e-10)


def test_rows_can_be_dropped_between_passes():
    model = tiny_network(layers=2)
    rank = ranked("random", None)
    ids, clean = texts(rank)
    slots = slots_in_order(rank)
    expected = at(packed_target_logits(model, ids, clean, rank), slots)
    session = PackedSession(model, ids, rank, slots)
    session.extend(slots[:, :2], clean.gather(1, slots[:, :2]), slots[:, :2], slots[:, :0], slots[:, :0])
    session.absorb(torch.full((ROWS,), 2))
    chosen = torch.tensor([2, 0])
    session.select(chosen)
    window = slots[chosen][:, 2:4]
    tokens = clean[chosen].gather(1, window.clamp(min=0))
    targets, _ = session.extend(window, tokens, window, window[:, :0], window[:, :0])
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
