"""Every method on every kind of network: the engine gives the tokens, log p and counters of `fef.decode`."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
import torch
from all_methods import EXACT_CACHE, GREEDY, METHODS, under_packed_law
from asking import Ask, asks
from tiny_network import EOS, MASK, complete_network

import fef
from fef.engine.engine import Engine, Job
from fef.errors import DenoiserError, OptionError
from fef.models.config import MixtureConfig

MIXTURE = MixtureConfig(experts=4, per_token=2, expert_dim=8, shared_dim=8)


NETWORKS = {
    "packed": complete_network(),
    "bidirectional": complete_network(packed=False),
    "shifted": complete_network(packed=False, shift=True),
    "block-causal": complete_network(packed=False, attention="block-causal", block_length=4),
    "block-causal mixture": complete_network(packed=False, attention="block-causal", block_length=4, mixture=MIXTURE),
}
COUNTERS = ("calls", "rows", "rounds", "drafted", "accepted", "committed")


def settings_for(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Those that the network can run."""
    found = METHODS + EXACT_CACHE
    if name == "packed":
        return [each for each in found if each not in EXACT_CACHE[:2]]
    found = [(method, options) for method, options in found if not under_packed_law(method, options)]
    return found if name.startswith("block-causal") else [each for each in found if each not in EXACT_CACHE[:2]]


def alone(net: Any, ask: Ask, eos_id: int | None, method: str, options: dict[str, Any]) -> fef.Decoded:
    ids = torch.tensor([ask.ids])
    open_ = torch.zeros_like(ids, dtype=torch.bool)
    open_[0, ask.open] = True
    return fef.decode(net, ids, open=open_, eos_id=eos_id, method=method, **ask.settings, **options)


def check(job: Job, net: Any, ask: Ask, eos_id: int | None, method: str, options: dict[str, Any]) -> None:
    expected, found = alone(net, ask, eos_id, method, options), job.result()
    assert found.tokens == expected.ids[0, ask.open].tolist(), (method, options, ask)
    torch.testing.assert_close(
        torch.tensor(found.logprobs, dtype=torch.float64), expected.logprobs[0, ask.open], rtol=0, atol=1e-9
    )
    told = job.certificate.reasons[: len(expected.certificate.reasons)]  # behind them: what the engine settles itself
    assert dataclasses.replace(job.certificate, reasons=told) == expected.certificate
    if not (method in ("eso-exact", "fef", "sequential") and under_packed_law(method, options)):
        assert {k: found.counters[k] for k in COUNTERS} == {k: expected.stats[0][k] for k in COUNTERS}


def with_prompt(ask: Ask, method: str) -> Ask:
    """Behind a given token: the slots of a block that holds masks alone would tie."""
    settings = ask.settings | ({"temperature": 0.0} if method in GREEDY else {})
    return Ask([3, *ask.ids], [p + 1 for p in ask.open], settings)


ENDLESS = ("block-causal",)  # networks that are asked without an end token by default; the others by `slow`


@pytest.mark.parametrize(
    ("name", "eos_id"),
    [(name, EOS) for name in NETWORKS]
    + [pytest.param(name, None, marks=() if name in ENDLESS else pytest.mark.slow) for name in NETWORKS],
)
def test_requests_of_all_methods_at_once(name, eos_id):
    """In batches of 16 with different methods, lengths, temperatures, seeds; more come while others run."""
    net, dice = NETWORKS[name], random.Random(len(name))
    settings = settings_for(name)
    engine = Engine(net, eos_id=eos_id, max_batch=16)
    asked = [
        (with_prompt(ask, method), method, options)
        for method, options in settings
        for ask in asks(2, dice.randrange(99), 10)
    ]
    dice.shuffle(asked)
    jobs = []
    for ask, method, options in asked:
        jobs.append(engine.submit(ask.ids, ask.open, method=method, **ask.settings, **options))
        if len(jobs) % 5 == 0:
            engine.step()
    engine.run()
    assert not engine.busy and not engine.sessions.groups
    for job, (ask, method, options) in zip(jobs, asked, strict=True):
        check(job, net, ask, eos_id, method, options)


@pytest.mark.parametrize("name", ["bidirectional", "shifted"])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dual", {"block_length": 4, "drafts": 2, "keep": "kl"}),
        ("dual", {"cache": "delayed", "tokens_per_step": 2}),
        ("dual", {"cache": "prefix", "block_length": 4, "drafts": 1}),
        ("wino", {"threshold": 0.3, "keep": 0.5, "block_length": 4}),
        ("delayed-cache", {"refresh": 3, "block_length": 4, "tokens_per_step": 2}),
    ],
    ids=str,
)
def test_requests_that_join_between_two_rounds_of_one_session(name, method, options):
    """Those that check tokens or renew keys in other rounds than their neighbours do not change what those see."""
    engine = Engine(NETWORKS[name], max_batch=6)
    asked = [with_prompt(ask, method) for ask in asks(12, 5, 13)]
    jobs = []
    for ask in asked:
        jobs.append(engine.submit(ask.ids, ask.open, method=method, **ask.settings, **options))
        engine.step()
    assert len(engine.sessions.groups) <= 1
    engine.run()
    for job, ask in zip(jobs, asked, strict=True):
        check(job, NETWORKS[name], ask, None, method, options)


def test_a_function_is_a_denoiser_for_the_engine_too():
    """It takes no lengths, so requests share a session only where their canvases are equally long."""
    table = fef.TableDenoiser.inconsistent(3, 4, seed=1)
    engine = Engine(table)
    methods = ["fef", "low-confidence", "threshold", "random", "origin"]
    jobs = [engine.submit([3] * 4, range(4), method=m, temperature=1.0, seed=s) for m in methods for s in range(6)]
    engine.run()
    for i, job in enumerate(jobs):
        out = fef.decode(table, torch.full((1, 4), 3), method=methods[i // 6], temperature=1.0, seed=i % 6)
        assert job.result().tokens == out.ids[0].tolist()


def test_the_parts_that_are_asked_for_run():
    """A drafter of one's own is called, and what it raises reaches the one who asked."""
    calls = []

    def drafter(_canvas, slots):
        calls.append(slots)
        return torch.zeros(*slots.shape, 8)

    engine = Engine(NETWORKS["packed"])
    job = engine.submit([MASK] * 6, range(6), draft=drafter, temperature=1.0, seed=3)
    job.result()
    assert calls
    assert any("custom" in reason for reason in job.certificate.reasons)
    out = fef.decode(NETWORKS["packed"], torch.full((1, 6), MASK), draft=drafter, temperature=1.0, seed=3)
    assert job.result().tokens == out.ids[0].tolist()


@pytest.mark.parametrize("given", [{"window": 3}, {"anchors": 0, "survival": 0.5}, {"bonus": False}], ids=str)
def test_options_that_packed_rounds_settle_themselves_are_named(given):
    engine = Engine(NETWORKS["packed"], windows=(4, 8))
    job = engine.submit([MASK] * 6, range(6), temperature=1.0, **given)
    assert [reason for reason in job.certificate.reasons if all(f"{k}={v}" in reason for k, v in given.items())]
    out = fef.decode(NETWORKS["packed"], torch.full((1, 6), MASK), temperature=1.0, **given)
    assert job.result().tokens == out.ids[0].tolist()
    assert job.certificate.reasons[:-1] == out.certificate.reasons
    plain = engine.submit([MASK] * 6, range(6), temperature=1.0)
    assert not [reason for reason in plain.certificate.reasons if reason.startswith("rounds:")]


def test_dual_exact_runs_as_itself():
    """Its stale drafts are made, and counted."""
    engine = Engine(NETWORKS["packed"])
    job = engine.submit([3] + [MASK] * 8, range(1, 9), method="dual-exact", drafts=3)
    plain = engine.submit([3] + [MASK] * 8, range(1, 9))
    assert any("stale" in reason for reason in job.certificate.reasons)
    assert job.result().tokens == plain.result().tokens
    found = job.result().counters
    assert found["token_forwards"] > plain.result().counters["token_forwards"]
    alone = fef.decode(NETWORKS["packed"], torch.tensor([[3] + [MASK] * 8]), method="dual-exact", drafts=3).stats[0]
    assert found["calls"] > found["rounds"] * 3
    assert found == {name: alone[name] for name in found}


def test_what_a_drafter_raises_ends_its_own_request_and_no_other():
    engine = Engine(NETWORKS["packed"])
    broken = engine.submit([MASK] * 6, range(6), draft=lambda _canvas, _slots: 1 / 0)
    other = engine.submit([MASK] * 6, range(6))
    with pytest.raises(DenoiserError, match="The drafter failed"):
        broken.result()
    assert other.result().tokens


def test_a_vocabulary_that_turns_out_too_small_ends_requests_and_not_the_engine():
    """What it is shows in the first pass only."""

    class Small:
        mask_id = 2

        def __call__(self, ids):
            return torch.zeros(*ids.shape, 3)

    engine = Engine(Small(), banned=[5])
    jobs = [engine.submit([2, 2], range(2), method=m) for m in ("low-confidence", "low-confidence", "random")]
    engine.run()
    for job in jobs:
        with pytest.raises(OptionError, match="banned id is 5"):
            job.result()
    assert engine.lost is None and not engine.busy


def test_what_a_network_cannot_run_is_refused_with_the_way_out():
    with pytest.raises(OptionError, match='Use verify="rows"'):
        Engine(NETWORKS["shifted"]).submit([MASK] * 4, range(4), verify="packed")
    with pytest.raises(OptionError, match="would break the law"):
        Engine(NETWORKS["shifted"]).submit([MASK] * 4, range(4), cache="prefix")
    with pytest.raises(OptionError, match="temperature 0"):
        Engine(NETWORKS["shifted"]).submit([MASK] * 4, range(4), method="ssd", temperature=1.0)
