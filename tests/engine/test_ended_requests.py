"""Requests that are cancelled or asked for: each has one end, and what waits beside it does not notice."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from asking import METHODS, NETWORK, answered, asks, by_decode, differences, engine_of, long_asks, submitted
from tiny_network import MASK, tiny_network

from fef.engine.engine import Engine
from fef.errors import EngineError, OptionError

# --- cancelling ---


def test_cancelled_while_waiting():
    engine = engine_of(max_batch=1)
    asked = asks(3, seed=4, longest=14)
    jobs = submitted(engine, asked)
    jobs[1].cancel()
    assert jobs[1].status == "cancelled"
    assert [job.status for job in jobs] == ["waiting", "cancelled", "waiting"]
    with pytest.raises(EngineError, match="cancelled"):
        jobs[1].result()
    expected = by_decode(NETWORK, asked)
    assert differences([jobs[0].result(), jobs[2].result()], [expected[0], expected[2]]) == []


@pytest.mark.parametrize("method", [METHODS[0], METHODS[7]], ids=str)
def test_cancelled_while_running(method):
    """Its slot is free for the next round, and the others go on as if nothing had been."""
    network = tiny_network(scale=0.3)
    asked = long_asks(6)
    expected = by_decode(network, asked, **method)
    for steps in (1, 2, 3):
        engine = engine_of(network, windows=(0,))
        jobs = submitted(engine, asked, **method)
        for _ in range(steps):
            engine.step()
        slot = next(slot for slot, one in engine.packed.running.items() if one.job is jobs[1])
        assert jobs[1].status == "running"
        waits = engine.packed.waiting[0]
        jobs[1].cancel()
        assert slot in engine.packed.free
        engine.step()
        assert waits.slot == slot or waits.job.status == "done"
        engine.run()
        kept = [i for i in range(len(jobs)) if i != 1]
        assert differences([jobs[i].result() for i in kept], [expected[i] for i in kept]) == []
        assert jobs[1].status == "cancelled"
        with pytest.raises(EngineError, match="cancelled"):
            jobs[1].result()


def test_cancelled_after_the_end():
    engine = engine_of()
    job = engine.submit([1, MASK], [1])
    result = job.result()
    job.cancel()
    assert job.status == "done"
    assert job.result() is result


def test_cancelled_twice():
    engine = engine_of()
    job = engine.submit([1, MASK], [1])
    engine.step()
    job.cancel()
    job.cancel()
    assert sorted(engine.packed.free) == list(range(engine.packed.built.slots))
    assert not engine.busy


def test_an_engine_whose_requests_were_all_cancelled_serves_the_next():
    engine = engine_of()
    for wait in range(4):
        jobs = submitted(engine, asks(9, seed=6))
        for _ in range(wait):
            engine.step()
        for job in jobs:
            job.cancel()
        assert not engine.packed.running and not engine.packed.waiting
    asked = asks(9, seed=7)
    assert differences(answered(engine, asked), by_decode(NETWORK, asked)) == []


# --- asking for results ---


def test_result_with_nothing_else_running():
    engine = engine_of()
    job = engine.submit([1, MASK, MASK], [1, 2])
    assert job.status == "waiting"
    first = job.result()
    assert job.status == "done" and not engine.busy
    assert job.result() is first
    assert job.first_token is not None and job.ended is not None and job.began <= job.first_token <= job.ended


def test_result_of_the_last_of_many():
    engine = engine_of(max_batch=1)
    asked = asks(12, seed=10)
    jobs = submitted(engine, asked)
    last = jobs[-1].result()
    assert [job.status for job in jobs] == ["done"] * 12
    assert differences([last], by_decode(NETWORK, asked)[-1:]) == []


def test_an_engine_with_nothing_to_do():
    engine = engine_of()
    engine.step()
    engine.run()
    assert not engine.busy


def test_a_finished_engine_is_forgotten():
    """Nothing outlives it: no thread, no cycle that the collector does not find."""
    engine = engine_of(threads=2)
    answered(engine, asks(5, seed=11))
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


def test_plans_do_not_pile_up():
    engine = engine_of()
    for i in range(2100):
        engine.plans.plan("fef", {"window": i % 700 + 1})
    assert len(engine.plans.plans) <= 1000
    for i in range(1100):
        engine.submit([MASK] * 2, range(2), temperature=0.1 + i / 1e4).cancel()
    assert len(engine.asked) <= 1024


def test_results_asked_for_by_several_threads():
    asked = [{"temperature": 0.8, "seed": seed} for seed in range(12)]
    expected = [engine_of().submit([MASK] * 9, range(9), **ask).result().tokens for ask in asked]
    engine = engine_of(max_batch=3)
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda ask: engine.submit([MASK] * 9, range(9), **ask).result().tokens, asked)
        assert list(found) == expected


class Calling(torch.nn.Module):
    """Calls something once, in the middle of a round."""

    mask_id = 5

    def __init__(self):
        super().__init__()
        self.call = None
        torch.manual_seed(0)
        self.table = torch.randn(6, 6)

    def forward(self, ids):
        call, self.call = self.call, None
        if call is not None:
            call()
        return self.table[ids]


@pytest.mark.parametrize("options", [{"method": "fef", "window": 1}, {"method": "low-confidence"}], ids=str)
@pytest.mark.parametrize("given_up", [0, 1, 2], ids=["itself", "its neighbour", "one that waits"])
def test_cancelled_in_the_middle_of_a_round(options, given_up):
    network = Calling()
    engine = Engine(network, max_batch=2)
    jobs = [engine.submit([1, 2] + [5] * 6, range(2, 8), temperature=1.0, seed=s, **options) for s in range(3)]
    engine.step()
    network.call = jobs[given_up].cancel
    engine.run()
    assert [job.status for job in jobs] == ["cancelled" if i == given_up else "done" for i in range(3)]
    assert not engine.busy and not engine.sessions.groups and not engine.unfinished


def test_cancelled_by_another_session_that_opens_in_the_same_round():
    network = Calling()
    engine = Engine(network)
    jobs = [engine.submit([1] + [5] * 6, range(1, 7), method=m) for m in ("fef", "low-confidence")]
    network.call = lambda: [job.cancel() for job in jobs]
    engine.run()
    assert [job.status for job in jobs] == ["cancelled", "cancelled"]
    assert not engine.busy and not engine.sessions.groups


@pytest.mark.parametrize("wait", [lambda job: job.engine.step(), lambda job: job.result()], ids=["step", "result"])
def test_a_round_waits_for_no_other(wait):
    """A round within a round would take the canvas from under it."""
    network = Calling()
    engine = Engine(network)
    jobs = [engine.submit([1, 2] + [5] * 6, range(2, 8), method=m) for m in ("low-confidence", "threshold")]
    engine.step()
    network.call = lambda: wait(jobs[1])
    engine.run()
    with pytest.raises(EngineError, match="A round of this engine is under way"):
        jobs[0].result()
    assert (
        jobs[1].result().tokens
        == Engine(Calling()).submit([1, 2] + [5] * 6, range(2, 8), method="threshold").result().tokens
    )


# --- what requests ask alike is read once ---


def test_what_one_request_asked_for_is_not_taken_for_what_another_one_does():
    engine, ids = Engine(NETWORK, max_length=8), [1, MASK, MASK, MASK]
    plans = [engine.submit(ids, (1, 2, 3), **options).request.plan for options in ({"window": 2}, {"steps": 2})]
    assert [plan.steps for plan in plans] == [1, 2]
    assert plans[0].speculation.window == 2 != plans[1].speculation.window
    engine.submit(ids, (1, 2, 3), top_k=1)
    with pytest.raises(OptionError, match="top_k"):  # equal to 1, and no number
        engine.submit(ids, (1, 2, 3), top_k=True)
