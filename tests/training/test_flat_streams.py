"""The flat row of a training step: its two intervals a query are the packed pattern, its losses those of padded rows."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from fef.laws.noise import Schedule
from fef.models.config import TransformerConfig
from fef.models.packed import PackedTokens, Stream, packed_visible
from fef.models.transformer import Transformer, pattern_block, plain_visible
from fef.training.cross_entropy import CHUNK, MULTIPLE, chunk_of, weighted_cross_entropy
from fef.training.flat import BLOCK, flatten, listed, revealed_last
from fef.training.objectives import flat_losses, row_losses
from fef.training.patterns import Canvases, block_masks, mask_canvases, packed_slots
from fef.training.streams import Streams, block_streams, causal_streams, context_streams, packed_streams

EOS, MASK, L, B, BLOCK_LENGTH = 9, 8, 24, 7, 4
KINDS = ("packed", "context", "block", "causal")
SHARES = (0.35, 0.35, 0.3)
WEIGHTS = {"context": 1.0, "target": 0.7, "draft": 0.5, "causal": 1.0}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def canvases(seed: int) -> Canvases:
    made = generator(seed)
    start = torch.randint(1, 8, (B,), generator=made)
    text = torch.randint(1, 10, (B,), generator=made)
    stop = start + text + torch.randint(1, 6, (B,), generator=made)
    ids = torch.randint(10, 40, (B, L), generator=made)
    ids = torch.where(torch.arange(L) >= (start + text)[:, None], EOS, ids)
    return Canvases(ids, start, stop, stop)


def streams_of(kind: str, seed: int) -> Streams:
    rows = canvases(seed)
    if kind == "causal":
        return causal_streams(rows, EOS)
    if kind == "block":
        return block_streams(rows, block_masks(rows, BLOCK_LENGTH, SHARES, generator(seed)), MASK, EOS, BLOCK_LENGTH)
    masked = mask_canvases(rows, EOS, Schedule("linear"), SHARES, generator(seed))
    if kind == "context":
        return context_streams(rows, masked, MASK, EOS)
    slots = packed_slots(rows, masked, EOS, 12, torch.tensor([2, 3, 5]), generator(seed))
    return packed_streams(rows, masked, slots, MASK, EOS)


def network(kv_heads: int = 1) -> Transformer:
    config = TransformerConfig(
        vocab_size=48, dim=16, layers=2, heads=2, kv_heads=kv_heads, mlp_dim=32, mask_id=MASK, eos_id=EOS
    )
    model = Transformer(config).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator(0)) if parameter.ndim > 1 else None
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("capacity", [128, 640])
@pytest.mark.parametrize("moves", [False, True])
def test_the_intervals_are_the_packed_pattern_of_each_canvas(kind: str, seed: int, capacity: int, moves: bool) -> None:
    streams = streams_of(kind, seed)
    if moves:
        streams = revealed_last(streams)
    flat = flatten(streams, capacity)
    visible = packed_visible(streams.tokens, streams.tokens)
    expected = torch.zeros(capacity, capacity, dtype=torch.bool)
    at = 0
    for b in range(int(flat.rows)):
        here = (streams.tokens.stream_BN[b] != Stream.ABSENT).nonzero()[:, 0]
        stop = at + len(here)
        expected[at:stop, at:stop] = visible[b][here][:, here]
        assert torch.equal(flat.input_1T[0, at:stop], streams.input_BN[b, here])
        assert torch.equal(flat.label_T[at:stop], streams.label_BN[b, here])
        at = stop
    rest = torch.arange(at, capacity)
    expected[rest, rest] = True
    assert int(flat.tokens) == at
    assert torch.equal(flat.intervals.dense()[0], expected)
    assert int(flat.intervals.pairs()) == int(expected.sum())
    for queries, keys in ((16, 16), (32, 16), (16, 32)):
        seen, whole = flat.intervals.blocks(queries, keys)
        pairs = expected.view(capacity // queries, queries, capacity // keys, keys).transpose(1, 2).flatten(2)
        assert not (pairs.any(2) & ~seen).any()
        assert not (whole & ~pairs.all(2)).any()
    assert capacity < 640 or int(flat.rows) == B


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_no_canvas_fills_change_no_pattern(kind: str) -> None:
    """Where one example is far longer than the others, most columns of a batch are empty."""
    streams, empty = streams_of(kind, 2), 400_000

    def wide(value_BN: Tensor, fill: int) -> Tensor:
        return torch.nn.functional.pad(value_BN, (0, empty), value=fill)

    index, stream, rank, limit = vars(streams.tokens).values()
    tokens = PackedTokens(wide(index, 0), wide(stream, Stream.ABSENT), wide(rank, 0), wide(limit, 0))
    weights = {name: wide(weight, 0) for name, weight in streams.weights.items()}
    padded = Streams(wide(streams.input_BN, 0), tokens, wide(streams.label_BN, 0), weights)
    flat, expected = flatten(padded, 640), flatten(streams, 640)
    assert torch.equal(flat.intervals.dense(), expected.intervals.dense())
    assert torch.equal(flat.intervals.pairs(), expected.intervals.pairs())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", [128, 640])
def test_no_block_reaches_beyond_the_canvases_that_it_touches(kind: str, capacity: int) -> None:
    """A block of queries that saw the whole row would run alone, long behind all others."""
    streams = streams_of(kind, 1)
    flat = flatten(streams, capacity)
    sizes = (streams.tokens.stream_BN != Stream.ABSENT).sum(1)[: int(flat.rows)]
    canvas = torch.cat([torch.arange(len(sizes)).repeat_interleave(sizes), torch.arange(1000, 1000 + capacity)])[
        :capacity
    ]
    together = (canvas[:, None] == canvas).view(capacity // 16, 16, capacity // 16, 16).any(3).any(1)
    touched = (together.float() @ together.float()) > 0
    assert not (flat.intervals.blocks(16, 16)[0] & ~touched).any()


def test_lists_of_blocks_are_those_that_torch_makes() -> None:
    intervals = flatten(streams_of("packed", 1), 640).intervals
    seen, whole = intervals.blocks(16, 8)
    expected = BlockMask.from_kv_blocks(*listed(seen & ~whole), *listed(whole), BLOCK_SIZE=(16, 8))
    found = intervals.block_mask(16, 8)
    for name in ("num_blocks", "indices"):
        for lists in ("kv", "full_kv", "q", "full_q"):
            a, b = (getattr(mask, f"{lists}_{name}") for mask in (found, expected))
            assert torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride(), (lists, name)
    count, order = listed(seen)
    assert torch.equal(order[0, 0], seen.int().argsort(dim=1, descending=True, stable=True).int())
    assert torch.equal(count[0, 0], seen.sum(1).int())


def test_blocks_inside_of_a_canvas_are_seen_whole() -> None:
    """Where the context of a canvas fills blocks, none of its queries asks a predicate there; of targets all do."""
    flat = flatten(streams_of("packed", 1), 640)
    _, whole = flat.intervals.blocks(4, 4)
    pairs = flat.intervals.dense()[0].view(160, 4, 160, 4).transpose(1, 2).flatten(2).all(2)
    assert whole.sum() > 0.8 * pairs.sum()
    assert torch.equal(whole & ~pairs, torch.zeros_like(whole))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_in_another_order_have_the_same_losses_and_fewer_blocks(kind: str) -> None:
    model, streams = network(), streams_of(kind, 3)
    moved = revealed_last(streams)
    first, second = flatten(streams, 640), flatten(moved, 640)
    visible = packed_visible(moved.tokens, moved.tokens)
    assert int(visible.sum()) == int(packed_visible(streams.tokens, streams.tokens).sum())
    expected = flat_losses(model, first, first.intervals.dense(), WEIGHTS)
    found = flat_losses(model, second, second.intervals.dense(), WEIGHTS)
    for name, value in found.named.items():
        assert value.item() == pytest.approx(expected.named[name].item(), rel=1e-6)
    (many, whole), (few, more) = (flat.intervals.blocks(4, 4) for flat in (first, second))
    assert few.sum() <= many.sum() and more.sum() >= whole.sum()
    assert kind != "packed" or (few.sum() < many.sum() and more.sum() > whole.sum())


def test_a_canvas_that_does_not_fit_is_left_out_whole() -> None:
    streams = streams_of("packed", 0)
    sizes = (streams.tokens.stream_BN != Stream.ABSENT).sum(1)
    two = int(sizes[:2].sum())
    assert int(flatten(streams, two).rows) == 2
    assert int(flatten(streams, two - 1).rows) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_padded_rows(kind: str) -> None:
    model, streams = network(), streams_of(kind, 3)
    visible = packed_visible(streams.tokens, streams.tokens)
    rows = row_losses(model, streams, visible, WEIGHTS)
    expected = torch.autograd.grad(rows.total, list(model.parameters()))
    flat = flatten(streams, 640)
    found = flat_losses(model, flat, flat.intervals.dense(), WEIGHTS)
    assert found.named.keys() == rows.named.keys()
    for name, value in found.named.items():
        assert value.item() == pytest.approx(rows.named[name].item(), rel=1e-6)
    for a, b in zip(torch.autograd.grad(found.total, list(model.parameters())), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("sizes", [(), (BLOCK, 64), (8, 8)])
def test_the_block_mask_gives_the_dense_pattern(sizes: tuple[int, ...]) -> None:
    model = network(kv_heads=2).float().requires_grad_(False)
    flat = flatten(streams_of("packed", 1), 4 * BLOCK)
    blocks, _ = model.trunk(flat.input_1T, flat.index_1T, flat.intervals.block_mask(*sizes))
    dense, _ = model.trunk(flat.input_1T, flat.index_1T, flat.intervals.dense())
    torch.testing.assert_close(blocks, dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pattern", range(3))
def test_every_block_is_a_state_of_the_pattern_that_is_asked_for(pattern: int) -> None:
    """Of answers to the end of the canvas: which of the 16 states of a block of four are met, and how often."""
    rows = Canvases(torch.full((400, L), 10), torch.zeros(400).long(), torch.full((400,), L), torch.full((400,), L))
    shares = [0.0, 0.0, 0.0]
    shares[pattern] = 1.0
    masked = block_masks(rows, BLOCK_LENGTH, (shares[0], shares[1], shares[2]), generator(pattern))
    found = Counter(tuple(block.tolist()) for block in masked.reshape(-1, BLOCK_LENGTH).int())
    prefixes = {(0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1), (1, 1, 1, 1)}
    states = set(product((0, 1), repeat=BLOCK_LENGTH)) - {(0,) * BLOCK_LENGTH}
    assert set(found) == (states, prefixes, {(1, 1, 1, 1)})[pattern]
    if pattern == 1:
        assert min(found.values()) > 0.8 * len(masked) * L / BLOCK_LENGTH / len(prefixes)


def test_block_causal_streams_give_the_loss_of_each_block_behind_its_clean_past() -> None:
    """Reference: for every block a plain block-causal pass over the clean past and that noisy block alone."""
    model, rows = network(), canvases(5)
    masked = block_masks(rows, BLOCK_LENGTH, SHARES, generator(5))
    streams = block_streams(rows, masked, MASK, EOS, BLOCK_LENGTH)
    found = row_losses(model, streams, packed_visible(streams.tokens, streams.tokens), {"context": 1.0})
    config = TransformerConfig(
        **{**model.config.to_dict(), "attention": "block-causal", "block_length": BLOCK_LENGTH, "mixture": None}
    )
    losses = []
    for b in range(B):
        nll: list[Tensor] = []
        for start in range(0, int(rows.stop_B[b]), BLOCK_LENGTH):
            stop = min(start + BLOCK_LENGTH, int(rows.lengths_B[b]))
            ids = rows.ids_BL[b : b + 1, :stop].clone()
            noisy = masked[b, start:stop]
            ids[0, start:stop][noisy] = MASK
            visible = plain_visible(config, stop, None, ids.device)
            hidden, _ = model.trunk(ids, torch.arange(stop)[None], visible)
            logp = model.logits(hidden)[0, start:stop].log_softmax(-1)
            nll.append(-logp.gather(1, rows.ids_BL[b, start:stop, None])[:, 0][noisy])
        losses.append(torch.cat(nll).mean())
    assert found.total.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-6)


def test_causal_streams_give_the_next_token_loss_over_responses_with_their_end() -> None:
    model, rows = network(), canvases(6)
    streams = causal_streams(rows, EOS)
    found = row_losses(model, streams, packed_visible(streams.tokens, streams.tokens), {"causal": 1.0})
    causal = TransformerConfig(**{**model.config.to_dict(), "attention": "causal", "mixture": None})
    losses = []
    for b in range(B):
        start, stop = int(rows.start_B[b]), int(rows.text_stop_B(EOS)[b])
        ids = rows.ids_BL[b : b + 1, :stop]
        hidden, _ = model.trunk(ids, torch.arange(stop)[None], plain_visible(causal, stop, None, ids.device))
        logp = model.logits(hidden)[0, :-1].log_softmax(-1)
        losses.append(-logp.gather(1, ids[0, 1:, None])[start - 1 :].mean())
    assert found.total.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-6)


@pytest.mark.parametrize("count", [1, 5000])
def test_chunked_cross_entropy_equals_the_whole_one(count: int) -> None:
    made = generator(0)
    hidden = torch.randn(count, 6, generator=made, dtype=torch.float64, requires_grad=True)
    head = torch.randn(11, 6, generator=made, dtype=torch.float64, requires_grad=True)
    label = torch.randint(11, (count,), generator=made)
    weight = torch.rand(count, generator=made, dtype=torch.float64)
    total, nll = weighted_cross_entropy(hidden, head, label, weight)
    expected = torch.nn.functional.cross_entropy(hidden @ head.T, label, reduction="none")
    torch.testing.assert_close(nll, expected.detach())
    for a, b in zip(
        torch.autograd.grad(3 * total, [hidden, head]),
        torch.autograd.grad(3 * (weight * expected).sum(), [hidden, head]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_chunks_are_as_few_as_can_be_and_equal() -> None:
    for positions in (1, 128, 129, 4096, 4097, 26_542, 28_672):
        size = chunk_of(positions)
        filled = positions + -positions % size
        assert size % MULTIPLE == 0 and size <= CHUNK and filled - positions < size
        assert filled // size == -(-positions // CHUNK) and filled - positions < MULTIPLE * (filled // size)
        assert chunk_of(filled) == size  # of those that were filled up
    assert chunk_of(0) == MULTIPLE


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor is being accessed")
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")
def test_compiled_blocks_on_a_gpu_give_the_losses_and_gradients_of_the_dense_pattern() -> None:
    config = TransformerConfig(
        vocab_size=4096, dim=192, layers=3, heads=3, kv_heads=1, mlp_dim=256, mask_id=MASK, eos_id=EOS
    )
    model = Transformer(config).cuda()
    made = torch.Generator("cuda").manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1, generator=made)
    streams = [streams_of("packed", seed) for seed in (3, 4)]
    flats = [flatten(to_gpu(one), 5 * BLOCK) for one in streams]
    expected = [losses_and_gradients(model, flat, flat.intervals.dense()) for flat in flats]
    for block in model.blocks:
        block.compile()
    size = pattern_block(config.head_size)
    for flat, (loss, gradients) in zip(flats, expected, strict=True):
        found, slopes = losses_and_gradients(model, flat, flat.intervals.block_mask(size, size))
        assert found == pytest.approx(loss, rel=2e-3)
        for a, b in zip(slopes, gradients, strict=True):
            assert (a - b).norm() <= 2e-2 * b.norm() + 1e-6


def to_gpu(streams: Streams) -> Streams:
    tokens = type(streams.tokens)(*(tensor.cuda() for tensor in vars(streams.tokens).values()))
    weights = {name: tensor.cuda() for name, tensor in streams.weights.items()}
    return Streams(streams.input_BN.cuda(), tokens, streams.label_BN.cuda(), weights)


def losses_and_gradients(model, flat, visible):  # type: ignore[no-untyped-def]
    total = flat_losses(model, flat, visible, WEIGHTS).total
    return total.item(), torch.autograd.grad(total, list(model.parameters()))
