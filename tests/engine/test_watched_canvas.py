"""What a request's rounds tell of their drafts adds up to its result, and changes nothing of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from asking import Ask, asks
from drafting_networks import drafting_network
from tiny_network import EOS, MASK, complete_network, tiny_network

from fef.engine.engine import Engine, Job
from fef.engine.requests import EngineResult
from fef.engine.shape_chooser import ShapeChooser
from fef.engine.watched import CanvasRound, Filled, RoundFacts, WatchedCanvas

NETWORKS = {
    "packed": complete_network(),
    "plain": complete_network(packed=False),
    "blocks": complete_network(packed=False, attention="block-causal", block_length=4),
}
FINAL: list[tuple[str, dict[str, Any]]] = [
    ("packed", {"method": "fef"}),
    ("packed", {"method": "sequential", "verify": "packed"}),
    ("packed", {"method": "fef", "order": "random"}),
    ("packed", {"method": "fef", "block_length": 3}),
    ("plain", {"method": "fef", "window": 3}),
    ("plain", {"method": "fef", "window": 3, "accept": "rejection", "draft": "fresh"}),
    ("plain", {"method": "sequential"}),
    ("plain", {"method": "threshold", "threshold": 0.4}),
    ("blocks", {"method": "low-confidence"}),
    ("blocks", {"method": "fef", "cache": "prefix"}),
]
REOPENED: list[tuple[str, dict[str, Any]]] = [
    ("packed", {"method": "fef", "steps": 3}),
    ("plain", {"method": "fef", "steps": 3}),
    ("plain", {"method": "wino", "threshold": 0.2, "keep": 0.6}),
    ("plain", {"method": "saber"}),
]


def watched(
    network: str, method: dict[str, Any], watch: bool = True, count: int = 9
) -> list[tuple[Job, list[CanvasRound]]]:
    engine = Engine(NETWORKS[network], eos_id=EOS, max_batch=3)
    jobs = [engine.submit(a.ids, a.open, **a.settings, **method, watch=watch) for a in asks(count, seed=3)]
    engine.run()
    return [(job, [] if job.watched is None else job.watched.take()) for job in jobs]


def filled_by(rounds: list[CanvasRound], job: Job) -> list[Filled]:
    """The open positions of a canvas as the rounds leave them."""
    canvas: dict[int, Filled] = {}
    for each in rounds:
        for place in each.reopened:
            del canvas[place]
        canvas |= {one.place: one for one in each.filled}
    return [canvas[place] for place in job.request.open.tolist()]


@pytest.mark.parametrize(("network", "method"), FINAL + REOPENED, ids=str)
def test_rounds_add_up_to_the_result(network: str, method: dict[str, Any]) -> None:
    for job, rounds in watched(network, method):
        filled, result = filled_by(rounds, job), job.result()
        assert [one.token for one in filled] == result.tokens
        assert [one.logprob for one in filled] == result.logprobs
        assert [each.passes for each in rounds] == sorted(each.passes for each in rounds)
        assert rounds[-1].passes == result.counters["calls"]


@pytest.mark.parametrize(("network", "method"), FINAL, ids=str)
def test_what_is_final_is_filled_once(network: str, method: dict[str, Any]) -> None:
    for _, rounds in watched(network, method):
        places = [one.place for each in rounds for one in each.filled]
        assert len(places) == len(set(places))
        assert not any(each.reopened for each in rounds)


@pytest.mark.parametrize(("network", "method"), REOPENED, ids=str)
def test_what_is_taken_back_is_told(network: str, method: dict[str, Any]) -> None:
    assert any(each.reopened or each.rejected for _, rounds in watched(network, method) for each in rounds)


@pytest.mark.parametrize(("network", "method"), FINAL + REOPENED, ids=str)
def test_watching_changes_no_result(network: str, method: dict[str, Any]) -> None:
    told, silent = ([job.result() for job, _ in watched(network, method, watch)] for watch in (True, False))
    for one, other in zip(told, silent, strict=True):
        assert one.tokens == other.tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-9)  # windows differ with time, and sums with them
    assert all(job.watched is None for job, _ in watched(network, method, watch=False))


@pytest.mark.parametrize(("network", "method"), FINAL[:6], ids=str)
def test_drafts_that_held_are_as_many_as_were_counted(network: str, method: dict[str, Any]) -> None:
    held = 0
    for job, rounds in watched(network, method):
        accepted = sum(one.how == "accepted" for each in rounds for one in each.filled)
        rejected = sum(len(each.rejected) for each in rounds)
        counters = job.result().counters
        assert accepted == counters["accepted"]
        assert accepted + rejected == counters["drafted"]
        held += accepted
    assert held


@pytest.mark.parametrize("method", [method for network, method in FINAL if network == "packed"], ids=str)
def test_packed_drafts_stand_a_round_before_they_hold(method: dict[str, Any]) -> None:
    """An accepted token is a draft that was told before, a corrected one is another, a drawn one had none verified."""
    seen = set[str]()
    for _, rounds in watched("packed", method, count=40):
        for before, after in pairwise(rounds):
            drafts = dict(before.drafts)
            for one in after.filled:
                seen.add(one.how)
                if one.how == "accepted":
                    assert drafts[one.place] == one.token
                elif one.how == "corrected":
                    assert drafts[one.place] != one.token
                    assert (one.place, drafts[one.place]) in after.rejected
            assert set(after.rejected) <= set(before.drafts)
    assert {"accepted", "corrected"} <= seen


def test_drafts_that_a_smaller_tree_left_out_are_not_told_as_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of four nodes tell the same, whether or not the head grew more for rounds of others."""
    monkeypatch.setattr(ShapeChooser, "next_shape", lambda chooser, _: min(chooser.shapes, key=lambda s: s.window))

    def told(tree: tuple[int, ...]) -> list[Any]:
        engine = Engine(drafting_network(), tree=tree, windows=(), max_batch=1, max_length=16)
        jobs = [engine.submit(a.ids, a.open, **a.settings, watch=True) for a in asks(12, seed=4)]
        engine.run()
        return [(each.filled, each.rejected) for job in jobs if job.watched for each in job.watched.take()]

    assert told((4, 32)) == told((4,))


def test_draws_that_a_rule_did_not_choose_are_drafts() -> None:
    for job, rounds in watched("plain", {"method": "low-confidence"}):
        opened = set(job.request.open.tolist())
        for each in rounds:
            opened -= {one.place for one in each.filled}
            assert {place for place, _ in each.drafts} <= opened
        assert len(rounds[0].drafts) or len(job.request.open) == 1


def test_requests_that_begin_again_after_a_neighbour_failed_still_add_up() -> None:
    """A later request joins their session and breaks it, so they start again, each alone."""
    poison, network = 6, tiny_network(scale=0.3, tied_embeddings=False, packed=False)
    network.embed.weight[poison] = torch.nan
    engine = Engine(network, banned=[poison], max_batch=4)
    asked = [Ask([i] + [MASK] * 12, list(range(1, 13)), {"temperature": 1.0, "seed": i}) for i in range(3)]
    jobs = [engine.submit(a.ids, a.open, **a.settings, method="sequential", watch=True) for a in asked]
    for _ in range(4):
        engine.step()
    bad = engine.submit([poison] * 12 + [MASK], [12], method="sequential")
    engine.run()
    assert bad.status == "failed"
    for job in jobs:
        assert job.alone and job.watched is not None
        rounds = job.watched.take()
        assert sum(len(each.reopened) for each in rounds) > 0
        assert [one.token for one in filled_by(rounds, job)] == job.result().tokens


def test_a_request_that_begins_again_takes_back_what_it_told() -> None:
    """As where a session that it shared has failed."""
    canvas = WatchedCanvas()
    canvas.add({3: (7, -0.5), 4: (8, -0.1)}, RoundFacts(written=[(3, 7), (4, 8)]))
    canvas.add({3: (7, -0.5)}, RoundFacts(written=[(3, 7)]))
    first, second = canvas.take()
    assert (first.reopened, second.reopened) == ([], [4])
    assert canvas.take() == []
    canvas.complete([3, 4], EngineResult([7, 9], [-0.5, 0.0], {"calls": 5}))
    (last,) = canvas.take()
    assert [(one.place, one.token, one.how) for one in last.filled] == [(4, 9, "implied")]
    assert last.passes == 5
