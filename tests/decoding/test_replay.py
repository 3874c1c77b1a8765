"""Replayed rules give the text of the rule, token for token, in at most as many calls."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import EOS, MASK, tiny_network

import fef


def canvas(rows: int, length: int) -> torch.Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    ids[:, length // 2] = 1
    return ids


@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.2, 0.5, 1.0]),
    length=st.integers(4, 12),
    drafts=st.integers(1, 6),
    tokens=st.integers(1, 3),
    block_length=st.sampled_from([None, 3, 4]),
    eos_id=st.sampled_from([None, EOS]),
    guidance=st.sampled_from([{}, {"cfg_scale": 0.5}, {"contrast": 0.5}]),
)
@settings(max_examples=50)
def test_the_text_of_low_confidence_in_no_more_calls(
    seed, scale, length, drafts, tokens, block_length, eos_id, guidance
):
    network, ids = tiny_network(seed, scale), canvas(3, length)
    shared = {"block_length": block_length, "eos_id": eos_id, **guidance}
    base = fef.decode(network, ids, method="low-confidence", tokens_per_step=tokens, **shared)
    out = fef.decode(network, ids, method="freedave", tokens_per_step=tokens, drafts=drafts, **shared)
    assert torch.equal(out.ids, base.ids)
    torch.testing.assert_close(out.logprobs, base.logprobs, rtol=0, atol=1e-9, equal_nan=True)
    for new, old in zip(out.stats, base.stats, strict=True):
        assert new["calls"] <= old["calls"]
        assert new["accepted"] <= new["drafted"]
        assert new["committed"] == old["committed"]
    if tokens == 1:
        same = fef.decode(network, ids, method="ssd", drafts=drafts, **shared)
        assert torch.equal(same.ids, base.ids)
        assert same.certificate.kind == "greedy"


@pytest.mark.parametrize("seed", range(12))
def test_a_slot_whose_best_token_is_an_end_that_cannot_be(seed):
    """It is ranked by the token that it gets, as in low-confidence; several of these networks have such slots."""
    network, ids = tiny_network(seed), canvas(8, 9)
    base = fef.decode(network, ids, method="low-confidence", eos_id=EOS)
    assert torch.equal(fef.decode(network, ids, method="ssd", eos_id=EOS).ids, base.ids)


def test_an_agreeable_network_takes_few_calls():
    """Laws that no token changes: a chain of 4 is always right, so 8 tokens take the first look and two calls; the last
    chain needs none."""

    def steady(ids: torch.Tensor) -> torch.Tensor:
        place = torch.arange(ids.shape[1], dtype=torch.float64)[None, :, None]
        return (place * torch.tensor([0.0, 1.0, 0.5, -torch.inf])).nan_to_num(neginf=-torch.inf).expand(*ids.shape, 4)

    steady.mask_id = 3  # type: ignore[attr-defined]
    out = fef.decode(steady, torch.full((1, 9), 3), method="ssd", drafts=4)
    base = fef.decode(steady, torch.full((1, 9), 3), method="low-confidence")
    assert torch.equal(out.ids, base.ids)
    assert (out.stats[0]["calls"], base.stats[0]["calls"]) == (3, 9)


@pytest.mark.parametrize("method", ["ssd", "freedave"])
def test_sampling_is_refused(method):
    for temperature in (0.7, [0.0, 1.0]):
        with pytest.raises(fef.OptionError, match=r"temperature 0.*method='fef'"):
            fef.decode(tiny_network(), canvas(2, 6), method=method, temperature=temperature)
        with pytest.raises(fef.OptionError, match=r"temperature 0"):
            fef.certify(tiny_network(), method=method, temperature=temperature)
