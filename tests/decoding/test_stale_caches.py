"""Caches of approximate decoders: no error where nothing is out of date, an error where something is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_network import EOS, MASK, tiny_network
from torch import Tensor

import fef
from fef.decoders.threshold import Threshold
from fef.decoding.canvas import Canvas
from fef.decoding.inputs import Settings, make_sampling
from fef.decoding.loop import decode_requests
from fef.decoding.network import Network
from fef.decoding.plan import CacheRule, Plan
from fef.decoding.requests import Requests
from fef.laws.draws import KeyedNoise
from fef.models.stale import StaleCache, full_pass

SHIFTS = pytest.mark.parametrize("shift", [False, True])


def canvas(rows: int = 6, length: int = 11) -> Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    ids[:, 5] = 1
    return ids


def text_of(network: Any, cache: CacheRule | None, temperature: float) -> tuple[Tensor, Tensor]:
    ids_BL = canvas()
    network = Network(network)
    plan = Plan("threshold", block_length=4, rule=Threshold(0.4), cache=cache)
    sampling = make_sampling(network, Settings(temperature, 1.0, 0), [], EOS, len(ids_BL), ids_BL.device)
    state = Canvas.start(ids_BL, ids_BL == MASK, ids_BL, None)
    decode_requests(network, plan, Requests.start(state, KeyedNoise(torch.arange(len(ids_BL))), sampling))
    return state.ids_BL, state.logprob_BL


@SHIFTS
@pytest.mark.parametrize("kind", ["prefix", "dual", "delayed"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_full_pass_at_every_look_is_no_cache(kind, temperature, shift):
    network = tiny_network(2, scale=0.3, packed=False, shift=shift)
    ids, logp = text_of(network, None, temperature)
    found_ids, found_logp = text_of(network, CacheRule(kind, refresh=1), temperature)
    assert torch.equal(found_ids, ids)
    torch.testing.assert_close(found_logp, logp, rtol=0, atol=1e-9, equal_nan=True)
    if temperature:
        _, stale_logp = text_of(network, CacheRule(kind), temperature)
        assert float((stale_logp - logp).nan_to_num().abs().max()) > 1e-3


@SHIFTS
@pytest.mark.parametrize("options", [{}, {"tokens_per_step": 2, "block_length": 4}, {"steps": 3}])
def test_a_delayed_cache_that_is_always_renewed_is_low_confidence(options, shift):
    network = tiny_network(3, scale=0.3, packed=False, shift=shift)
    for temperature in (0.0, 1.0):
        base = fef.decode(network, canvas(), method="low-confidence", temperature=temperature, **options)
        out = fef.decode(network, canvas(), method="delayed-cache", refresh=1, temperature=temperature, **options)
        assert torch.equal(out.ids, base.ids)


def test_threshold_one_on_the_whole_response_is_one_token_a_step():
    network = tiny_network(3, scale=0.3)
    out = fef.decode(network, canvas(), method="threshold", threshold=1.0, block_length=11)
    base = fef.decode(network, canvas(), method="low-confidence")
    assert torch.equal(out.ids, base.ids)
    assert {s["calls"] for s in out.stats} == {9}


@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_a_small_pass_is_billed_for_what_it_computes(cache):
    """Blocks of 4 and 1 open slots at 1-4 and 6: one token per step; the block (dual) or all from it on (prefix)."""
    ids = torch.full((1, 7), MASK)
    ids[0, 0] = ids[0, 5] = 1
    out = fef.decode(tiny_network(), ids, method="threshold", threshold=1.0, block_length=4, cache=cache)
    small = 4 if cache == "dual" else 6
    assert out.stats[0]["token_forwards"] == 7 + 3 * small + 7


@SHIFTS
@pytest.mark.parametrize("lengths", [None, [11, 8, 9, 11, 7, 10]])
@pytest.mark.parametrize("attention", ["bidirectional", "block-causal"])
def test_a_step_that_computes_all_is_the_plain_forward(lengths, attention, shift):
    network = tiny_network(shift=shift, attention=attention, block_length=4, packed=False)
    ids_BL, lengths_B = canvas(), None if lengths is None else torch.tensor(lengths)
    index_BL = torch.arange(11).expand(6, -1)
    fresh_BL = index_BL < (torch.full((6, 1), 11) if lengths_B is None else lengths_B[:, None])
    cache = StaleCache.empty(network, ids_BL)
    logits_BLV = cache.step(ids_BL, fresh_BL, index_BL, torch.arange(6), lengths_B)
    plain_BLV = network(ids_BL, lengths_B)
    torch.testing.assert_close(logits_BLV[fresh_BL], plain_BLV[fresh_BL], rtol=0, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_shadow_is_its_position_masked_with_one_layer_only(layers):
    network = tiny_network(layers=layers)
    ids_RL = (torch.arange(24) % 6).view(3, 8)
    shadows_RC = torch.tensor([[0, 3, 7], [2, -1, -1], [5, 6, -1]])
    seen = full_pass(network, ids_RL, torch.arange(8).expand(3, -1), shadows_RC, None)
    torch.testing.assert_close(seen.logits_RSV, network(ids_RL), rtol=0, atol=1e-10)  # no token sees a shadow
    gaps = []
    for row, column in (shadows_RC >= 0).nonzero().tolist():
        position = int(shadows_RC[row, column])
        hidden_L = ids_RL[row].clone()
        hidden_L[position] = MASK
        gaps.append(float((seen.shadow_RCV[row, column] - network(hidden_L[None])[0, position]).abs().max()))
    assert max(gaps) < 1e-10 if layers == 1 else min(gaps) > 1e-3
