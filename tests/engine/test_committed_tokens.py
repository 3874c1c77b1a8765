"""Tokens of a request that streams are told as they are committed, and stay where its plan says so."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from asking import asks
from tiny_network import EOS, complete_network

from fef.engine.engine import Engine, Job
from fef.engine.job import Committed

NETWORKS = {
    "packed": complete_network(),
    "plain": complete_network(packed=False),
    "blocks": complete_network(packed=False, attention="block-causal", block_length=4),
}
PACKED: list[dict[str, Any]] = [
    {"method": "fef"},
    {"method": "sequential", "verify": "packed"},
    {"method": "fef", "order": "random"},
    {"method": "fef", "block_length": 3},
]
PLAIN: list[dict[str, Any]] = [
    {"method": "fef", "window": 2},
    {"method": "sequential"},
    {"method": "low-confidence"},
    {"method": "threshold", "threshold": 0.4},
]
TAKEN_BACK: list[tuple[str, dict[str, Any]]] = [
    ("packed", {"method": "fef", "steps": 3}),
    ("plain", {"method": "fef", "steps": 3}),
]


def followed(network: str, method: dict[str, Any], stream: bool = True) -> list[tuple[Job, list[Committed]]]:
    """Jobs, and what each had told after every step, until it was done."""
    engine = Engine(NETWORKS[network], eos_id=EOS, max_batch=3)
    asked = asks(9, seed=3)
    jobs = [engine.submit(a.ids, a.open, **a.settings, **method, stream=stream) for a in asked]
    told: list[list[Committed]] = [[] for _ in jobs]
    while engine.busy:
        engine.step()
        for job, seen in zip(jobs, told, strict=True):
            seen.append(dict(job.committed or {}))
    return list(zip(jobs, told, strict=True))


CASES = [("packed", method) for method in PACKED] + [
    (network, method) for network in ("plain", "blocks") for method in PLAIN
]


@pytest.mark.parametrize(("network", "method"), CASES, ids=str)
def test_a_told_token_is_that_of_the_result(network: str, method: dict[str, Any]) -> None:
    early = 0
    for job, seen in followed(network, method):
        assert job.request.plan.final
        result = job.result()
        filled = dict(zip(job.request.open.tolist(), zip(result.tokens, result.logprobs, strict=True), strict=True))
        end = next((place for place, (token, _) in filled.items() if token == EOS), max(filled))
        last = {place: each for place, each in seen[-1].items() if place <= end}
        assert last == {place: filled[place] for place in last}
        early += sum(0 < len(told) < len(filled) for told in seen)
        for before, after in pairwise(seen):
            assert list(before.items()) == list(after.items())[: len(before)]
    assert early


@pytest.mark.parametrize(("network", "method"), TAKEN_BACK, ids=str)
def test_a_plan_of_several_passes_takes_tokens_back(network: str, method: dict[str, Any]) -> None:
    """So nothing that it has told may be shown as final."""
    changed = 0
    for job, seen in followed(network, method):
        assert not job.request.plan.final
        result = dict(zip(job.request.open.tolist(), job.result().tokens, strict=True))
        changed += any(result[place] != token for told in seen for place, (token, _) in told.items())
    assert changed


def test_requests_that_do_not_ask_are_told_nothing() -> None:
    assert all(job.committed is None for job, _ in followed("packed", {"method": "fef"}, stream=False))


@pytest.mark.parametrize("network", ["packed", "plain"])
def test_telling_changes_no_result(network: str) -> None:
    method = {"method": "fef"}
    told, silent = ([job.result() for job, _ in followed(network, method, stream)] for stream in (True, False))
    assert [r.tokens for r in told] == [r.tokens for r in silent]
    for one, other in zip(told, silent, strict=True):  # shapes differ with time, and sums with them
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-9)
