"""Prefix states of a request as groups in one sequence over its cache: the logits of plain rows, and no copy of the cache."""

from __future__ import annotations

import pytest
import torch
from tiny_network import MASK, tiny_network
from torch import Tensor

import fef
from fef.decoding.stale import shared_sources
from fef.models.config import TransformerConfig
from fef.models.stale import StaleCache
from fef.models.transformer import Transformer

BLOCK, L = 4, 14
LENGTHS = torch.tensor([14, 11, 9])
OWNERS = pytest.mark.parametrize("owners", [[0, 0, 0, 1, 2, 2], [0, 2, 2, 2, 2]], ids=["all", "one without a row"])
SHIFTS = pytest.mark.parametrize("shift", [False, True])


def network(shift: bool = False, **options) -> torch.nn.Module:
    return tiny_network(
        1, scale=0.3, attention="block-causal", block_length=BLOCK, packed=False, shift=shift, **options
    )


def states(owners: list[int]) -> Tensor:
    """Canvases of 3 requests with a prompt of 4, and from position 5 on other drafts in every row."""
    generator = torch.Generator().manual_seed(3)
    ids_RL = torch.randint(0, 6, (3, L), generator=generator)[owners]
    ids_RL[:, 5:] = torch.randint(0, MASK + 1, (len(owners), L - 5), generator=generator)
    return ids_RL


def filled(model, ids_BL: Tensor, stop: int) -> StaleCache:
    """A cache that holds the keys of the first `stop` positions."""
    cache = StaleCache.empty(model, ids_BL)
    rows_B, first_BL = torch.arange(3), (torch.arange(L) < stop).expand(3, -1)
    if stop:
        cache.step(ids_BL, first_BL, rows_B[:, None] * 0, rows_B, LENGTHS)
        cache.store(first_BL, rows_B)
    return cache


@SHIFTS
@OWNERS
@pytest.mark.parametrize("start", [0, 4])
def test_groups_of_one_sequence_are_plain_rows(owners, shift, start):
    model, ids_RL, owner_R = network(shift), states(owners), torch.tensor(owners)
    cache = filled(model, states([0, 1, 2]), start)
    # one more position than is new: where logits are shifted, the one before is read
    fresh_RL = (torch.arange(L) >= max(0, start - shift)) & (torch.arange(L) < LENGTHS[owner_R, None])
    at_RL = torch.arange(L).expand_as(ids_RL)
    logits_RLV = cache.step(ids_RL, fresh_RL, at_RL, owner_R, LENGTHS)
    plain_RLV = model(ids_RL, LENGTHS[owner_R])
    asked_RL = (at_RL >= start) & fresh_RL
    torch.testing.assert_close(logits_RLV[asked_RL], plain_RLV[asked_RL], rtol=0, atol=1e-10)


def test_what_a_row_of_a_group_computed_can_be_kept():
    """Row 2 of request 0 and row 1 of request 2 become the canvas; the next step sees their keys."""
    model, owners = network(), [0, 0, 0, 1, 2, 2]
    ids_RL, owner_R = states(owners), torch.tensor(owners)
    cache = filled(model, states([0, 1, 2]), 4)
    middle_RL = ((torch.arange(L) >= 4) & (torch.arange(L) < 8)).expand_as(ids_RL)
    cache.step(ids_RL, middle_RL, torch.full((6, 1), 4), owner_R, LENGTHS)
    kept_B = torch.tensor([2, 3, 5])
    cache.store(middle_RL[kept_B], kept_B)
    rest_BL = (torch.arange(L) >= 8) & (torch.arange(L) < LENGTHS[:, None])
    ids_BL, at_BL = ids_RL[kept_B], torch.arange(L).expand(3, -1)
    logits_BLV = cache.step(ids_BL, rest_BL, at_BL, torch.arange(3), LENGTHS)
    plain_BLV = model(ids_BL, LENGTHS)
    torch.testing.assert_close(logits_BLV[rest_BL], plain_BLV[rest_BL], rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [1, 8])
def test_the_cache_of_a_request_is_never_copied_a_row(window, monkeypatch):
    """Every pass of a decode of 2 requests reads at most 2 caches, and the one that it was given where both take part."""
    model, cached = network(), []
    trunk = model.trunk

    def watched(ids_BN, index_BN, visible, past=None):
        cached.append(past)
        return trunk(ids_BN, index_BN, visible, past)

    monkeypatch.setattr(model, "trunk", watched)
    ids_BL = torch.full((2, L), MASK)
    ids_BL[:, 0] = torch.tensor([1, 3])
    out = fef.decode(model, ids_BL, window=window, cache="prefix", temperature=1.0)
    assert max(row["rows"] / row["calls"] for row in out.stats) > (1 if window == 1 else 3)
    assert {past.keys_YBGPE.shape[1] for past in cached} <= {1, 2}
    assert len({past.keys_YBGPE.data_ptr() for past in cached if past.keys_YBGPE.shape[1] == 2}) == 1


@pytest.mark.parametrize("draft", ["reuse", "fresh", "random"])
@SHIFTS
def test_what_prefix_states_share_is_computed_and_billed_once(draft, shift, monkeypatch):
    """Tokens billed are those that the network ran on, and fewer than all unfinished blocks of every state."""
    model, ran = network(shift), []
    trunk = model.trunk

    def watched(ids_BN, *rest):
        ran.append(ids_BN.numel())
        return trunk(ids_BN, *rest)

    monkeypatch.setattr(model, "trunk", watched)
    ids_BL = torch.full((1, 24), MASK)
    ids_BL[:, :6] = 1
    out = fef.decode(model, ids_BL, window=8, cache="prefix", draft=draft, temperature=1.0)
    assert out.stats[0]["token_forwards"] == sum(ran)
    monkeypatch.setattr("fef.decoding.stale.shared_sources", lambda states_RL, *_: own_rows(states_RL))
    apart = fef.decode(model, ids_BL, window=8, cache="prefix", draft=draft, temperature=1.0)
    assert torch.equal(apart.ids, out.ids)
    torch.testing.assert_close(apart.logprobs, out.logprobs, rtol=0, atol=1e-9, equal_nan=True)
    assert out.stats[0]["token_forwards"] < apart.stats[0]["token_forwards"]


def own_rows(states_RL: Tensor) -> Tensor:
    return torch.arange(len(states_RL))[:, None].expand_as(states_RL)


def test_sources_by_hand():
    """Blocks of 2. Rows 0 to 2 are of one request: the first block is theirs together, the second of 0 and 1, the third is
    computed by 1 and 2 only and of one each, as the fourth position differs. Row 3, of another request, shares nothing."""
    states_RL = torch.tensor([[1, 2, 3, 7, 7, 7], [1, 2, 3, 7, 7, 7], [1, 2, 3, 4, 7, 7], [1, 2, 3, 4, 7, 7]])
    fresh_RL = torch.ones(4, 6, dtype=torch.bool)
    fresh_RL[0, 4:] = False
    found_RL = shared_sources(states_RL, fresh_RL, torch.tensor([0, 0, 0, 1]), 2)
    expected_RL = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 2, 2, 2, 2], [3, 3, 3, 3, 3, 3]])
    assert torch.equal(found_RL, expected_RL)


@pytest.mark.slow
def test_what_the_cache_saves():
    """Measures what docs/methods.md states of cache="prefix"; run with -s to see the figures."""
    size = {"vocab_size": 1024, "dim": 256, "layers": 6, "heads": 4, "mlp_dim": 768, "mask_id": 1023, "max_length": 448}
    model = Transformer(TransformerConfig(**size, attention="block-causal", block_length=16)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                scale = 1.0 if name.startswith("embed") else 0.5 * weight.shape[-1] ** -0.5
                weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    ids_BL = torch.randint(0, 1000, (2, 448), generator=generator)
    ids_BL[:, 384:] = 1023
    seconds = {}
    for cache, repeats in (("none", 1), ("prefix", 4)):
        outs = [fef.decode(model, ids_BL, window=16, cache=cache, temperature=1.0) for _ in range(repeats)]
        seconds[cache] = min(out.stats[0]["seconds"] for out in outs)
        tokens = [row["token_forwards"] for row in outs[0].stats]
        print(f"\ncache={cache}: {seconds[cache]:.2f} s, tokens computed {tokens}")
    assert seconds["prefix"] < seconds["none"] / 3
