"""The cache of a CPU takes memory where requests write, and a broken request leaves nothing that could spread."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fef.engine.engine import Engine
from fef.errors import EngineError
from fef.models.packed_pass import SlotTable
from fef.models.reserved import reserved_zeros
from fef.models.slot_cache import SlotCache
from tests.tiny_network import tiny_network

MEGABYTE = 10**6
STATM = Path("/proc/self/statm")
on_linux = pytest.mark.skipif(not STATM.exists(), reason="the system does not tell what is resident")


def resident() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@on_linux
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reserved_zeros_take_memory_only_where_they_are_written(dtype):
    before, shape = resident(), (50, 4 * MEGABYTE // dtype.itemsize)
    zeros = reserved_zeros(shape, dtype)
    assert zeros.shape == shape
    assert zeros.dtype == dtype
    assert resident() - before < 8 * MEGABYTE
    zeros[:, 100] = 1
    assert zeros[:, 100].sum() == 50
    assert zeros[:, 101:200].sum() == 0
    assert resident() - before < 8 * MEGABYTE, "whole huge pages would be 100 MB"
    plain = torch.zeros(shape, dtype=dtype)
    assert resident() - before > 150 * MEGABYTE, "what others take is seen"
    del plain, zeros


@on_linux
def test_what_is_reserved_is_given_back():
    before = resident()
    for _ in range(3):
        reserved_zeros((60 * MEGABYTE,), torch.int8)[:] = 1
    assert resident() - before < 30 * MEGABYTE


@on_linux
def test_an_engine_takes_what_its_requests_reach_and_not_what_they_might():
    network = tiny_network(scale=0.3, max_length=200_000)
    before = resident()
    engine = Engine(network, max_batch=4, windows=(2,))
    held = engine.packed.built.cache_bytes
    engine.submit([1] * 8 + [network.mask_id] * 8, range(8, 16)).result()
    state = sum(t.nbytes for t in vars(engine.packed.built.state).values() if isinstance(t, torch.Tensor))
    assert held > 200 * MEGABYTE
    assert resident() - before < state + held / 4


def test_caches_beyond_all_memory_are_refused_with_what_to_lower():
    with pytest.raises(
        EngineError, match=r"caches of 1000000000000 requests .*Lower max_batch, max_length or memory_gb"
    ):
        Engine(tiny_network(scale=0.3), max_batch=10**12, memory_gb=1e15)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_what_a_broken_request_left_is_cleared_in_its_slot_alone(broken):
    config = tiny_network(scale=0.3).config
    cache = SlotCache.empty(config, SlotTable(3, 8, 8, 2, 4), torch.device("cpu"), torch.float32)
    for kept in (cache.keys_YSGCE, cache.values_YSGCE):
        kept.copy_(torch.randn(kept.shape, generator=torch.Generator().manual_seed(1)))
        kept[:, 1:, :, 5] = broken
    cache.clear(1)
    for kept in (cache.keys_YSGCE, cache.values_YSGCE):
        assert kept[:, :2].isfinite().all()
        assert (kept[:, 1, :, 5] == 0).all()
        assert not kept[:, 2, :, 5].isfinite().any(), "the request beside it is another's"


@on_linux
def test_clearing_a_slot_takes_no_memory():
    config = replace(tiny_network(scale=0.3).config, layers=100)
    cache = SlotCache.empty(config, SlotTable(2, 8000, 8000, 2, 4), torch.device("cpu"), torch.float32)
    assert cache.keys_YSGCE.nbytes > 50 * MEGABYTE
    cache.values_YSGCE[0, 1, 0, 7] = float("nan")
    before = resident()
    cache.clear(1)
    assert cache.values_YSGCE[0, 1, 0, 7].isfinite().all()
    assert resident() - before < 25 * MEGABYTE
