"""Decoders that take tokens back: they end, whatever the network and the limits, and revoke what their rule says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import EOS, MASK, tiny_network
from torch import Tensor

import fef
from fef.decoders.dual import KeepConfident
from fef.decoders.saber import DropLargestFalls
from fef.decoders.wino import WideOut
from fef.decoding.memory import Memory
from fef.decoding.revoke import Suspects
from fef.laws.draws import KeyedNoise, Purpose, Site


def decode(seed: int, scale: float, length: int, network: dict[str, Any] | None = None, **options: Any) -> fef.Decoded:
    ids = torch.full((3, length), MASK)
    ids[:, 0] = torch.arange(3)
    out = fef.decode(tiny_network(seed, scale, **network or {}), ids, seed=seed, **options)
    assert not bool((out.ids == MASK).any())
    return out


NETWORKS = {
    "seed": st.integers(0, 10**6),
    "scale": st.sampled_from([0.2, 0.5, 1.0, 2.0]),
    "length": st.sampled_from([4, 9, 16]),
    "block_length": st.sampled_from([1, 4, 32]),
    "eos_id": st.sampled_from([None, EOS]),
    "temperature": st.sampled_from([0.0, 0.7, 3.0]),
}


@given(threshold=st.floats(0, 1), keep=st.floats(0, 1), **NETWORKS)
@settings(max_examples=40)
def test_wino_ends_with_a_token_a_call(length, **options):
    out = decode(length=length, method="wino", **options)
    assert all(s["calls"] <= length - 1 for s in out.stats)


@given(tokens_per_step=st.integers(1, 5), rate=st.floats(1, 8), rule=st.sampled_from(["code", "abstract"]), **NETWORKS)
@settings(max_examples=40)
def test_saber_ends_with_a_token_a_call(length, **options):
    out = decode(length=length, method="saber", **options)
    assert all(s["calls"] <= length - 1 for s in out.stats)


@given(
    drafts=st.integers(1, 5),
    tokens_per_step=st.integers(1, 3),
    keep=st.sampled_from(["confidence", "kl"]),
    limit=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0]),
    cache=st.sampled_from(["prefix", "dual", "delayed"]),
    **NETWORKS,
)
@settings(max_examples=40)
def test_dual_ends_with_a_token_a_cycle(length, drafts, **options):
    out = decode(length=length, method="dual", drafts=drafts, **options)
    assert all(s["calls"] <= (length - 1) * (drafts + 1) for s in out.stats)


@pytest.mark.parametrize(("keep", "limit"), [("confidence", 0.0), ("kl", 1e9)])
@pytest.mark.parametrize("tokens", [1, 2])
def test_a_limit_that_keeps_all_checks_each_cycle_once(keep, limit, tokens):
    out = decode(0, 0.5, 13, method="dual", drafts=3, tokens_per_step=tokens, keep=keep, limit=limit)
    rounds = -(-12 // tokens)
    assert {s["calls"] for s in out.stats} == {rounds + -(-rounds // 3)}
    assert {s["rounds"] for s in out.stats} == {rounds}


def test_a_limit_that_keeps_none_keeps_one_a_cycle():
    out = decode(0, 0.5, 13, method="dual", drafts=3, limit=2.0)
    assert {s["calls"] for s in out.stats} == {10 * 4 + 3 + 2}  # the last two cycles have two slots and one left


def suspects(
    confidence: list[float], new: int, before: list[float] | None = None, absent: int = 0, new_before: int | None = None
) -> Suspects:
    """One row whose tokens are all 0; the last `absent` of them are not there. new, new_before: committed in this round, and
    in the one before."""
    memory = Memory(1, torch.device("cpu"))
    if new_before is not None:
        memory.of("committed before", (), new_before, torch.int64)
    real = torch.tensor(confidence, dtype=torch.float64)
    count = len(confidence)
    slots_BC = torch.arange(count)[None].clone()
    slots_BC[0, count - absent :] = -1
    law_BCV = torch.stack([real, 1 - real], -1)[None]
    drafted_BCV = torch.full_like(law_BCV, 0.5).log()
    tokens_BC = torch.zeros(1, count, dtype=torch.int64)
    return Suspects(
        slots_BC,
        tokens_BC,
        law_BCV.log(),
        torch.tensor([before or confidence]).double(),
        drafted_BCV,
        torch.zeros_like(slots_BC, dtype=torch.bool),
        torch.tensor([new]),
        torch.tensor([1]),
        memory,
    )


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [
        (WideOut(0.9), suspects([0.5, 0.95, 0.1, 0.7], new=9), [0, 2, 3]),
        (WideOut(0.9), suspects([0.5, 0.95, 0.1, 0.7], new=3, new_before=3), [0, 2]),
        (WideOut(0.9), suspects([0.5, 0.95, 0.1, 0.7], new=3, new_before=1), []),
        (WideOut(0.9), suspects([0.5, 0.95, 0.1, 0.7], new=2, new_before=4), [0, 2, 3]),
        (WideOut(0.9), suspects([0.5, 0.95, 0.1, 0.7], new=1, new_before=9), []),
        (WideOut(0.9), suspects([0.5, 0.95, 0.1, 0.7], new=9, absent=2), [0]),
        (DropLargestFalls(2.0), suspects([0.5, 0.5, 0.5], new=4, before=[0.6, 0.9, 0.7]), [1, 2]),
        (DropLargestFalls(8.0), suspects([0.5, 0.5, 0.5], new=4, before=[0.6, 0.9, 0.7]), [1]),
        (DropLargestFalls(8.0), suspects([0.5, 0.5, 0.5], new=1, before=[0.6, 0.9, 0.7]), []),
        (DropLargestFalls(1.0), suspects([0.5, 0.5, 0.5], new=9, before=[0.4, 0.9, 0.5]), [1]),
        (KeepConfident("confidence", 0.6, 3), suspects([0.5, 0.95, 0.1, 0.7], new=0), [0, 2]),
        (KeepConfident("confidence", 2.0, 3), suspects([0.5, 0.95, 0.1, 0.7], new=0), [0, 2, 3]),
        # KL(half || p) = -log 4 p (1 - p) / 2: 0.00 at 0.5, 0.83 at 0.95, 0.51 at 0.1, 0.09 at 0.7
        (KeepConfident("kl", 0.2, 3), suspects([0.5, 0.95, 0.1, 0.7], new=0), [2]),
        (KeepConfident("kl", 0.05, 3), suspects([0.5, 0.95, 0.1, 0.7], new=0), [2, 3]),
    ],
)
def test_what_is_taken_back(rule, asked, expected):
    assert rule.select(asked)[0].nonzero()[:, 0].tolist() == expected


@pytest.mark.parametrize("keep", ["confidence", "kl"])
def test_dual_masks_what_it_checks_in_a_shifted_network_too(keep):
    """A shadow of the token before a suspect would see it, so a row with the position masked is looked at instead: for one
    layer, what the shadow of an unshifted network is."""
    options = {"method": "dual", "keep": keep, "limit": 0.3, "drafts": 2, "block_length": 4}
    out = decode(0, 0.5, 9, **options, network={"shift": True, "packed": False})
    assert all(s["rows"] > s["calls"] for s in out.stats)
    plain = decode(0, 0.5, 9, **options)
    assert all(s["rows"] == s["calls"] for s in plain.stats)


@given(seed=st.integers(0, 10**6), block_length=st.sampled_from([2, 8, None]), drafts=st.sampled_from([2, 7, 13]))
@settings(max_examples=15)
def test_dual_reopens_slots_of_finished_blocks(seed, block_length, drafts):
    network = {"attention": "block-causal", "block_length": 4, "packed": False}
    options = {"method": "dual", "cache": "prefix", "limit": 0.9, "drafts": drafts}
    out = decode(seed, 0.5, 16, block_length=block_length, network=network, **options)
    assert out.certificate.kind == "none"
    assert any("out of date" in reason for reason in out.certificate.reasons)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("saber", {"rate": 1.0, "tokens_per_step": 3, "block_length": 4}),
        ("dual", {"limit": 0.9, "drafts": 2, "block_length": 4}),
        ("wino", {"threshold": 0.1, "keep": 0.9, "block_length": 4}),
    ],
)
def test_a_slot_is_never_drawn_with_the_same_noise_again(method, options, monkeypatch):
    """Not in a later block either, where it may be open again: a token that was taken back would come again too often."""
    rounds: list[set[tuple[int, ...]]] = []
    draw = KeyedNoise.categorical

    def noted(self: KeyedNoise, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        row_N, slot_N = site.active_BS.nonzero(as_tuple=True)
        key = (self.seed_B[row_N], site.position_BS[row_N, slot_N], site.step_B[row_N], site.attempt_B[row_N])
        rounds.append({(int(purpose), *each) for each in torch.stack(key, 1).tolist()})
        return draw(self, logp_BSV, site, purpose)

    monkeypatch.setattr(KeyedNoise, "categorical", noted)
    decode(0, 0.3, 13, method=method, temperature=1.0, **options)
    assert sum(len(keys) for keys in rounds) == len(set().union(*rounds))
