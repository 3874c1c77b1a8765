"""Passes of sessions in kernels give the logits of the network's own passes, over kept keys too, for every family's shape."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from host_reads import host_reads
from tiny_network import MASK, tiny_network
from torch import Tensor

from fef.decoding.stale import shared_sources
from fef.engine.arena import NOWHERE
from fef.engine.cached_network import ArenaKeys, CachedNetwork
from fef.engine.cached_passes import CachedPasses, CapturedPass, StaticInputs
from fef.engine.engine import Engine
from fef.engine.runner import PassKind, rows_alone
from fef.models.config import MixtureConfig
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape
from fef.models.stale import StaleCache, full_pass
from fef.models.transformer import Transformer

BLOCK, L = 2, 8
LENGTHS = torch.tensor([8, 5])
SIZE = {"dim": 16, "heads": 2, "head_dim": 16, "mlp_dim": 16, "packed": False}
MIXTURE = MixtureConfig(
    experts=8, per_token=3, expert_dim=16, shared_dim=16, dense_layers=(0,), scores="sigmoid", selection_bias=True,
    groups=4, top_groups=2, normalize=True, scale=2.5,
)  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "LLaDA": {"tied_embeddings": False},
    "Dream": {"shift": True, "qkv_bias": True, "kv_heads": 1},
    "SDAR": {"attention": "block-causal", "block_length": BLOCK, "qk_norm": True, "kv_heads": 1},
    "LLaDA2": {
        "attention": "block-causal", "block_length": BLOCK, "qk_norm": True, "rotary_dim": 8, "mixture": MIXTURE
    },
    "causal": {"attention": "causal"},
}  # fmt: skip
EVERY = pytest.mark.parametrize("family", FAMILIES)
BLOCK_CAUSAL = pytest.mark.parametrize("family", ["SDAR", pytest.param("LLaDA2", marks=pytest.mark.slow)])
NO_SHADOW = torch.empty(1, 0, dtype=torch.int64)


class Again:
    """A graph for CPUs: a replay is the work itself."""

    def __init__(self, work, result: Tensor) -> None:
        self.work, self.result = work, result

    def replay(self) -> None:
        self.result.copy_(self.work())


@pytest.fixture(autouse=True)
def graphs_on_a_cpu(device, monkeypatch):
    def capture(self, kind, size):
        inputs = StaticInputs.empty(size, kind, self.longest, self.device)
        logits_BQV = torch.full((size, kind.reads, self.config.vocab_size), torch.nan)
        graph = Again(lambda: self.logits(inputs, kind).view_as(logits_BQV), logits_BQV)
        return CapturedPass(graph, inputs, logits_BQV)

    if device == "cpu":
        monkeypatch.setattr(CachedPasses, "capture", capture)
        monkeypatch.setattr("fef.engine.graphs.free_memory", lambda: (2**30, 2**34))


def network(family: str, device: str, **config: Any) -> Transformer:
    return tiny_network(1, scale=0.3, **SIZE | FAMILIES[family] | config).to(device, torch.float32)


def passes_of(model: Transformer, longest: int = 32, seats: int = 4) -> CachedPasses:
    return CachedPasses(model, budget=1e9, seats=seats, longest=longest, overlap=False, notes=print)


def canvases(device: str, rows: list[int], seed: int = 3) -> Tensor:
    """Rows of 2 canvases with a prompt of 2, and from position 3 on other tokens in every row."""
    generator = torch.Generator().manual_seed(seed)
    ids_RL = torch.randint(0, 6, (2, L), generator=generator)[rows]
    ids_RL[:, 3:] = torch.randint(0, MASK + 1, (len(rows), L - 3), generator=generator)
    return ids_RL.to(device)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


@EVERY
def test_a_plain_pass_of_ragged_rows(family, device):
    model, ids_RL, lengths_R = network(family, device), canvases(device, [0, 1]), LENGTHS.to(device)
    cached = CachedNetwork(model, passes_of(model))
    at_RS = torch.tensor([[0, 3, 7], [4, 1, 3]], device=device)
    close(cached.logits_at(ids_RL, at_RS, lengths_R), model.logits_at(ids_RL, at_RS, lengths_R))


def test_more_rows_than_a_pass_takes_go_through_several(device, monkeypatch):
    monkeypatch.setattr("fef.engine.cached_passes._MOST_ROWS", 2)
    model = network("SDAR", device)
    ids_RL = canvases(device, [0, 1, 0])
    at_RS = torch.arange(L, device=device).expand_as(ids_RL)
    passes = passes_of(model)
    close(CachedNetwork(model, passes).logits_at(ids_RL, at_RS), model(ids_RL))
    assert {rows for _, rows in passes.graphs} == {1, 2}


@pytest.mark.parametrize("family", ["LLaDA", "Dream", "SDAR"])
def test_some_positions_over_the_keys_of_an_older_canvas(family, device):
    """The passes of a dual cache, with rows that come and go."""
    model, before_RL, lengths_B = network(family, device), canvases(device, [0, 1]), LENGTHS.to(device)
    kept, plain = ArenaKeys(passes_of(model), 1, L), StaleCache.empty(model, before_RL[:1])
    rows_B, after_RL = torch.arange(2, device=device), canvases(device, [0, 1], seed=4)
    at_RS = torch.tensor([[3, 4], [3, 4]], device=device)
    fresh_RL = torch.zeros_like(after_RL, dtype=torch.bool)
    fresh_RL[:, 2:5] = True
    fewer_RL = fresh_RL.clone()
    fewer_RL[1, 2:4] = False
    turned = torch.tensor([1, 0], device=device)
    found = []
    for keys in (kept, plain):
        keys.renew(rows_B[:1], before_RL[:1], at_RS[:1], NO_SHADOW.to(device), lengths_B[:1])
        keys.grow(1)
        first, _ = keys.renew(rows_B[1:], before_RL[1:], at_RS[1:], NO_SHADOW.to(device), lengths_B[1:])
        second = keys.step(after_RL, fresh_RL, at_RS, rows_B, lengths_B)
        keys.store(fresh_RL, rows_B)
        keys.select(turned)
        third = keys.step(before_RL[turned], fewer_RL[turned], at_RS, rows_B, lengths_B[turned])
        found.append((first, second, third[1], third[0, 1]))
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs)


def test_masks_in_the_shadow_leave_their_keys_in_the_arena(device):
    model, ids_RL = network("LLaDA", device), canvases(device, [0, 1])
    shadows_RC, at_RS = torch.tensor([[4, -1], [5, 7]], device=device), torch.tensor([[6], [3]], device=device)
    keys = ArenaKeys(passes_of(model), 2, L)
    logits_RSV, shadow_RCV = keys.renew(torch.arange(2, device=device), ids_RL, at_RS, shadows_RC, None)
    seen = full_pass(model, ids_RL, at_RS, shadows_RC, None)
    close(logits_RSV, seen.logits_RSV)
    close(shadow_RCV, seen.shadow_RCV)
    fresh_RL = torch.arange(L, device=device).expand_as(ids_RL) == 6
    step_RSV = keys.step(ids_RL, fresh_RL, torch.full_like(at_RS, 6), torch.arange(2, device=device), None)
    close(step_RSV[:, 0], model(ids_RL)[:, 6])


@BLOCK_CAUSAL
def test_prefix_states_of_one_request_side_by_side(family, device):
    """They share tokens, and what one of them computed can be kept."""
    model, owner_R = network(family, device), torch.tensor([0, 0, 0, 1], device=device)
    ids_RL = canvases(device, owner_R.tolist())
    ids_RL[1, :5] = ids_RL[0, :5]
    lengths_B = LENGTHS.to(device)
    index_L, rows_B = torch.arange(L, device=device), torch.arange(2, device=device)
    keys = ArenaKeys(passes_of(model), 2, L)
    first_BL = (index_L < 2).expand(2, -1)
    keys.step(canvases(device, [0, 1]), first_BL, rows_B[:, None] * 0, rows_B, lengths_B)
    keys.store(first_BL, rows_B)
    fresh_RL = (index_L >= 2) & (index_L < lengths_B[owner_R, None])
    source_RL = shared_sources(ids_RL, fresh_RL, owner_R, BLOCK)
    assert source_RL[:, 2].tolist() == [0, 0, 2, 3] and source_RL[1, 5] == 1
    at_RL = index_L.expand_as(ids_RL)
    found_RLV = keys.step(ids_RL, fresh_RL, at_RL, owner_R, lengths_B, source_RL)
    plain_RLV = model(ids_RL, lengths_B[owner_R])
    close(found_RLV[fresh_RL], plain_RLV[fresh_RL])
    kept_B = torch.tensor([1, 3], device=device)
    keys.store(((index_L >= 2) & (index_L < 4)).expand(2, -1), kept_B)
    rest_BL = (index_L >= 4) & (index_L < lengths_B[:, None])
    after_BLV = keys.step(ids_RL[kept_B], rest_BL, at_RL[:2], rows_B, lengths_B)
    close(after_BLV[rest_BL], plain_RLV[kept_B][rest_BL])


@BLOCK_CAUSAL
def test_a_row_of_one_state_has_its_bits_beside_rows_of_several(family, device):
    """Also those of keys that it keeps: the row after it sees them."""
    model, index_L = network(family, device), torch.arange(L, device=device)
    ids_RL = canvases(device, [0, 1, 1, 1])
    fresh_RL, last_RL = (index_L < 6).expand(4, -1), (index_L >= 6).expand(4, -1)
    at_RL = index_L.expand_as(ids_RL)
    found = []
    for rows, owners in ([0], [0]), ([0, 1, 2, 3], [0, 1, 1, 1]):
        owner_R = torch.tensor(owners, device=device)
        keys = ArenaKeys(passes_of(model), owners[-1] + 1, L)
        first_RLV = keys.step(ids_RL[rows], fresh_RL[rows], at_RL[rows] % 6, owner_R, None)
        keys.store(fresh_RL[: owners[-1] + 1], torch.searchsorted(owner_R, owner_R.unique()))
        second_RLV = keys.step(ids_RL[rows], last_RL[rows], at_RL[rows] % 2 + 6, owner_R, None)
        found.append((first_RLV[0], second_RLV[0]))
        assert len(keys.scratch) == owners[-1]
    assert all(torch.equal(alone, beside) for alone, beside in zip(*found, strict=True))


def test_long_rows_have_products_of_their_own(device, monkeypatch):
    monkeypatch.setattr("fef.engine.cached_passes.rows_alone", lambda tokens, _: tokens >= 6)
    model, ids_RL = network("Dream", device), canvases(device, [0, 1])
    at_RS = torch.tensor([[3, 7], [6, 0]], device=device)
    passes = passes_of(model)
    close(CachedNetwork(model, passes).logits_at(ids_RL, at_RS), model.logits_at(ids_RL, at_RS))
    assert all(size.alone for size, _ in passes.graphs)


@pytest.mark.parametrize(("tokens", "width", "alone"), [(512, 4096, True), (255, 4096, False), (512, 576, False)])
def test_only_long_rows_of_wide_networks_have_products_of_their_own(tokens, width, alone):
    assert rows_alone(tokens, width) == alone
    context = PassKind(RoundShape(0, 0, 5), Bounds(tokens, 0), tokens - 5)
    assert context.alone(width) == alone
    assert not PassKind(RoundShape(16), Bounds(tokens, 0)).alone(width), "a round's rows are short"


def test_places_go_back_to_the_arena(device):
    model = network("LLaDA", device)
    passes = passes_of(model, longest=16, seats=3)
    arena = passes.arena
    keys, others = ArenaKeys(passes, 2, 16), ArenaKeys(passes, 1, 16)
    assert {*keys.starts, *others.starts} == {1, 17, 33} and NOWHERE == 0
    with pytest.raises(torch.OutOfMemoryError):
        keys.grow(1)
    keys.select(torch.tensor([1], device=device))
    others.grow(1)
    assert others.starts == [33, 1]
    del keys
    assert arena.free == [(17, 16)]
    del others
    assert arena.free == [(1, 48)]


def test_an_arena_has_no_more_places_than_the_kernels_count(device):
    model = network("SDAR", device)
    passes = CachedPasses(model, budget=1e15, seats=1 << 20, longest=8192, overlap=False, notes=print)
    numbers = model.config.kv_head_count * model.config.head_size
    assert 2**31 - 2**21 < (passes.places + 1) * numbers < 2**31


SETTLED, MOST = 8, 14  # host reads of a round of `threshold`: inside a block, and where one ends
KEPT = {"LLaDA": {"cache": "dual", "block_length": 16}, "SDAR": {"cache": "prefix", "block_length": BLOCK}}


def without_arithmetic(monkeypatch) -> None:
    """Passes give random logits, in which no token is near certain."""

    def capture(self, kind, size):
        inputs = StaticInputs.empty(size, kind, self.longest, self.device)
        logits_BQV = torch.rand(size, kind.reads, self.config.vocab_size, generator=torch.Generator().manual_seed(0))
        return CapturedPass(Again(lambda: logits_BQV, logits_BQV), inputs, logits_BQV)

    monkeypatch.setattr(CachedPasses, "capture", capture)


def test_host_reads_are_counted():
    x, seen = torch.arange(4), []
    waiting = [lambda: bool(x.any()), lambda: x.tolist(), lambda: x.nonzero(), lambda: x[x > 1]]
    for read in [*waiting, lambda: x + x[x], lambda: x.topk(2)]:
        with host_reads() as found:
            read()
        seen.append(found.count)
    assert seen == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("family", ["LLaDA", "SDAR"])
def test_a_pass_is_told_and_replayed_without_a_host_read(family, monkeypatch):
    without_arithmetic(monkeypatch)
    model, ids_RL = network(family, "cpu"), canvases("cpu", [0, 1])
    passes, at_RS, rows_B = passes_of(model), torch.tensor([[3, 7], [4, 1]]), torch.arange(2)
    cached, keys = CachedNetwork(model, passes), ArenaKeys(passes, 2, L)
    with host_reads() as plain:
        cached.padded_logits(ids_RL, at_RS, LENGTHS)
    with host_reads() as renewed:
        keys.renew(rows_B, ids_RL, at_RS, NO_SHADOW.expand(2, 0), LENGTHS)
    with host_reads() as some:
        keys.step(ids_RL, torch.arange(L).expand(2, -1) >= 6, at_RS, rows_B, LENGTHS)
    assert (plain.count, renewed.count) == (0, 0)
    assert some.count == 1  # how many tokens the longest row has: a shape


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("family", ["LLaDA", "SDAR"])
def test_a_round_reads_the_device_a_few_times_whatever_the_batch(family, batch, monkeypatch):
    without_arithmetic(monkeypatch)
    model = network(family, "cpu", max_length=64)
    passes = passes_of(model, longest=64)  # joins weights, so the engine comes behind it
    engine = Engine(model, max_batch=batch, max_length=64, banned=[MASK])
    engine.sessions.new_network = lambda: CachedNetwork(model, passes)
    for seed in range(batch):
        engine.submit([1] * 16 + [MASK] * 32, range(16, 48), method="threshold", seed=seed, **KEPT[family])
    for _ in range(3):
        engine.step()
    counts = []
    for _ in range(6):
        with host_reads() as round_:
            engine.step()
        counts.append(round_.count)
    assert max(counts) <= MOST
    assert batch > 1 or min(counts) <= SETTLED  # rows of a batch end their blocks in different rounds
