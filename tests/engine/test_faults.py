"""Whatever goes wrong, every request ends with a result or a clear error, and the others do not notice."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import pytest
import torch
from asking import METHODS, NETWORK, Ask, asks, by_decode, differences, engine_of, long_asks, submitted
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.engine.engine import Engine
from fef.engine.session_rounds import cache_bytes_of
from fef.errors import DenoiserError, EngineError

POISON = 6


def poisoned_network():
    """The token `POISON` has nan as its embedding; the head is another matrix, so logits elsewhere are fine."""
    network = tiny_network(scale=0.3, tied_embeddings=False)
    network.embed.weight[POISON] = torch.nan
    return network


# --- bad logits ---


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_nan_ends_its_own_request_and_no_other(method):
    """In one slot after the other, too: what a bad request leaves in the cache reaches nobody."""
    network = poisoned_network()
    good = asks(12, seed=1, vocabulary=POISON)
    expected = by_decode(network, good, banned=[POISON], **method)
    for batch, count in ((1, 6), (3, 12)):
        engine = engine_of(network, max_batch=batch, banned=[POISON])
        jobs, bad = [], []
        for a in good[:count]:
            bad.append(engine.submit([POISON] * 13 + [MASK], [13], **method))
            jobs += submitted(engine, [a], **method)
        engine.run()
        for job in bad:
            assert job.status == "failed"
            with pytest.raises(DenoiserError, match="nan"):
                job.result()
        assert differences([job.result() for job in jobs], expected[:count]) == []


def test_a_drafted_nan_is_an_error_where_decode_has_one():
    network = poisoned_network()
    asked = asks(30, seed=2, longest=5, vocabulary=POISON)
    engine = engine_of(network)
    jobs = submitted(engine, asked)
    engine.run()
    failed = [job.status == "failed" for job in jobs]
    assert 0 < sum(failed) < len(asked)
    kept = [a for a, bad in zip(asked, failed, strict=True) if not bad]
    assert differences([j.result() for j in jobs if j.status == "done"], by_decode(network, kept)) == []


def test_every_id_banned():
    engine = engine_of(banned=range(MASK))
    with pytest.raises(DenoiserError, match="banned"):
        engine.submit([1, MASK], [1]).result()


def test_weights_that_are_all_nan():
    network = tiny_network()
    for parameter in network.parameters():
        parameter.fill_(torch.nan)
    engine = engine_of(network)
    jobs = submitted(engine, asks(7, seed=3))
    engine.run()
    assert {job.status for job in jobs} == {"failed"}
    assert len(engine.packed.free) == engine.packed.built.slots


# --- the device ---


class LostDevice:
    """The runner of an engine, until its n-th pass."""

    def __init__(self, runner, passes: int) -> None:
        self.runner, self.left = runner, passes

    def run(self, kind, slots) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronous")
        self.runner.run(kind, slots)


@pytest.mark.parametrize("passes", [0, 1, 2, 5])
@pytest.mark.parametrize("method", [METHODS[0], METHODS[7]], ids=str)
def test_a_lost_device_ends_every_request(passes, method):
    engine = engine_of()
    engine.packed.built.runner = LostDevice(engine.packed.built.runner, passes)
    jobs = submitted(engine, long_asks(8), **method)
    with pytest.raises(EngineError, match="device-side assert"):
        engine.run()
    assert {job.status for job in jobs} <= {"done", "failed"}
    for job in jobs:
        if job.status == "failed":
            with pytest.raises(EngineError, match=r"The device cpu failed: CUDA error: device-side assert triggered\."):
                job.result()
    assert sum(job.status == "failed" for job in jobs) >= 5
    assert not engine.busy
    for call in (engine.step, lambda: engine.submit([1, MASK], [1])):
        with pytest.raises(EngineError, match="device-side assert"):
            call()
    jobs[-1].cancel()  # nothing happens
    assert jobs[-1].status == "failed"


def test_requests_between_two_passes_end_with_a_lost_device():
    """Their results are under way: they are neither running nor waiting."""
    engine = engine_of()
    job = engine.submit([MASK] * 6, range(6), steps=2)
    engine.packed.collect = lambda _: None  # type: ignore[method-assign]
    while not engine.packed.running:
        engine.step()
    engine.packed.send_results(list(engine.packed.running.values()))
    engine.fail_all(RuntimeError("CUDA error: gone"))
    assert job.status == "failed"
    with pytest.raises(EngineError, match="gone"):
        job.result()


def test_waiting_for_a_result_of_a_lost_device_does_not_hang():
    engine = engine_of()
    engine.packed.built.runner = LostDevice(engine.packed.built.runner, 1)
    job = engine.submit([MASK] * 9, range(9))
    with pytest.raises(EngineError, match="make a new engine"):
        job.result()


@pytest.mark.parametrize("ask", ["result", "step", "submit"])
def test_an_error_that_is_raised_again_does_not_grow(ask):
    """Frames hold what was in them, prompts and tensors too."""
    engine = engine_of()
    job = engine.submit([MASK] * 6, range(6))
    engine.fail_all(RuntimeError("CUDA error: gone"))
    again = {"result": job.result, "step": engine.step, "submit": lambda: engine.submit([MASK] * 3, range(3))}

    def frames() -> int:
        with pytest.raises(EngineError, match="gone"):
            again[ask]()
        return sum(1 for _ in traceback.walk_tb(engine.lost.__traceback__))

    assert frames() == frames()


def test_a_request_that_is_submitted_while_the_device_is_lost_is_refused(monkeypatch):
    engine = engine_of()
    monkeypatch.setattr(engine, "check_canvas", lambda *_: engine.fail_all(RuntimeError("CUDA error: gone")))
    with pytest.raises(EngineError, match="gone"):
        engine.submit([MASK] * 6, range(6))
    assert not engine.unfinished and not engine.busy


def test_a_pass_to_time_takes_no_slot_of_a_request():
    engine = engine_of()
    job = engine.submit([MASK] * 6, range(6))
    engine.step()
    with pytest.raises(EngineError, match="Wait until it is idle"), engine.held(1, [MASK] * 6, range(6)):
        pass
    assert len(job.result().tokens) == 6
    with pytest.raises(EngineError, match="a slot of this engine holds"), engine.held(1, [MASK] * 99, range(6)):
        pass


def test_no_memory_for_a_round_ends_those_that_run_and_the_next_are_tried(monkeypatch):
    """As where not even one row of a pass fits, which raises EngineError."""
    engine = engine_of(max_batch=2)
    runner, run = engine.packed.built.runner, engine.packed.built.runner.run
    calls = []

    def without_memory(kind, slots):
        calls.append(kind.context)
        if len(calls) == 2:
            raise EngineError("Out of memory: not even one row fits.")
        run(kind, slots)

    monkeypatch.setattr(runner, "run", without_memory)
    asked = asks(6, seed=9)
    jobs = submitted(engine, asked)
    engine.run()
    assert calls[1] == 0, "the round after the first context pass"
    assert [job.status for job in jobs] == ["failed"] * 2 + ["done"] * 4
    with pytest.raises(EngineError, match="not even one row"):
        jobs[0].result()
    assert differences([job.result() for job in jobs[2:]], by_decode(NETWORK, asked)[2:]) == []


def test_no_memory_for_a_context_ends_its_requests_only(monkeypatch):
    engine = engine_of(max_batch=2)
    runner, run = engine.packed.built.runner, engine.packed.built.runner.run

    def without_memory(kind, slots):
        if kind.context > 12:
            raise EngineError("Out of memory: not even one row fits.")
        run(kind, slots)

    monkeypatch.setattr(runner, "run", without_memory)
    long = engine.submit([MASK] * 13, range(13))
    short = engine.submit([MASK] * 5, range(5))
    last = engine.submit([MASK] * 4, range(4))
    engine.run()
    assert (long.status, short.status, last.status) == ("failed", "failed", "done")  # one context pass holds two
    assert len(engine.packed.free) == engine.packed.built.slots


@pytest.mark.parametrize("error", [ValueError("a shape that is wrong"), KeyError(), AssertionError()])
def test_no_error_of_any_kind_leaves_a_request_hanging(error, monkeypatch):
    engine = engine_of()
    jobs = [engine.submit([MASK] * 5, range(5)) for _ in range(3)]

    def broken(*_):
        raise error

    monkeypatch.setattr(engine.packed.built.runner, "run", broken)
    for job in jobs:
        with pytest.raises(EngineError, match="failed"):
            job.result()
    assert not engine.unfinished


def test_a_round_that_is_broken_off_ends_its_requests(monkeypatch):
    """Its state is unknown: better an error than a wrong text."""
    engine = engine_of()
    job = engine.submit([MASK] * 5, range(5))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.packed.built.runner, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run()
    with pytest.raises(EngineError, match="KeyboardInterrupt"):
        job.result()


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.double() if network.embed.weight.dtype == torch.float32 else network.float(),
        lambda network: network.embed.weight.mul_(1.1),
        lambda network: network.blocks[0].attn.q.weight.zero_(),
        lambda network: network.blocks[0].attn.q.weight.data.mul_(1.1),
        lambda network: setattr(network.norm.weight, "data", 2 * network.norm.weight.data),
        lambda network: setattr(network, "blocks", network.blocks[::-1]),
        lambda network: network.blocks[0].mlp.down.weight.detach().numpy().fill(0.5),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_network_that_changed_is_refused(change, packed):
    """What ran before keeps its result."""
    network = poisoned_network() if packed else tiny_network(scale=0.3, packed=False)
    engine = engine_of(network)
    job = engine.submit([1, MASK], [1])
    result = job.result()
    change(network)
    with pytest.raises(EngineError, match="after this engine was made"):
        engine.submit([1, MASK], [1])
    assert job.result() is result


class Remembering(torch.nn.Module):
    """Keeps tables that it makes as it runs, as rotary embeddings of some networks do."""

    mask_id = 5

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(1), persistent=False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, ids):
        self.calls += 1
        if len(self.table) < ids.shape[1]:
            self.table = torch.arange(float(ids.shape[1]))
        return self.table[: ids.shape[1], None].expand(*ids.shape, 6)


def test_what_a_network_makes_as_it_runs_is_no_change_of_it():
    engine = Engine(Remembering())
    for length in (2, 5):
        assert len(engine.submit([1] + [5] * length, range(1, length + 1)).result().tokens) == length


@pytest.mark.parametrize("packed", [True, False])
def test_a_network_that_changes_while_it_has_requests_ends_them(packed):
    """Their texts would be half of one law and half of another."""
    network = tiny_network(scale=0.3, packed=packed)
    engine = engine_of(network, windows=(1,), max_batch=1)
    jobs = [engine.submit([1] + [MASK] * 6, range(1, 7), window=1) for _ in range(2)]
    engine.step()
    network.embed.weight.mul_(1.1)
    with pytest.raises(EngineError, match="after this engine was made"):
        engine.submit([1, MASK], [1])
    for job in jobs:
        with pytest.raises(EngineError, match="after this engine was made"):
            job.result()


@dataclass
class Flat:
    """A drafter that equals others of its kind, so that Python gives it no hash."""

    size: int = 8

    def __call__(self, _canvas, slots):
        return torch.zeros(*slots.shape, self.size)


def test_an_option_need_not_be_hashable():
    engine, drafter = engine_of(), Flat()
    jobs = [engine.submit([1] + [MASK] * 5, range(1, 6), draft=drafter) for _ in range(2)]
    assert jobs[0].request.plan is jobs[1].request.plan
    assert engine.submit([1] + [MASK] * 5, range(1, 6), draft=Flat()).request.plan is not jobs[0].request.plan
    assert [job.result().tokens for job in jobs] == [jobs[0].result().tokens] * 2


# --- what requests need of one engine ---


def test_two_requests_whose_caches_do_not_fit_at_once_run_one_after_the_other():
    network = tiny_network(scale=0.3, packed=False)
    one = cache_bytes_of(network, make_plan("threshold", {"cache": "dual"}, Network(network)), 14)
    engine = Engine(network, max_length=14, memory_gb=1.5 * one / 1e9)
    asked = asks(3, seed=12, longest=14)
    jobs = [engine.submit(a.ids, a.open, method="threshold", cache="dual", **a.settings) for a in asked]
    seen = set()
    while engine.busy:
        engine.step()
        seen.add(len(engine.sessions.running))
    assert max(seen) <= 1
    for job, alone in zip(jobs, asked, strict=True):
        again = Engine(network, max_length=14).submit(
            alone.ids, alone.open, method="threshold", cache="dual", **alone.settings
        )
        assert job.result().tokens == again.result().tokens


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"method": "klass", "after_eos": "free"}, {"method": "klass"}),
        ({"method": "threshold", "cache": "dual"}, {"method": "threshold", "cache": "prefix"}),
        ({"method": "fef", "verify": "rows"}, {"method": "fef", "verify": "packed"}),
        ({"method": "remdm", "steps": 3}, {"method": "remdm", "steps": 6}),
    ],
    ids=str,
)
def test_two_requests_that_need_different_things_at_once_both_get_them(first, second):
    engine = engine_of(eos_id=EOS)
    asked = Ask([3] + [MASK] * 9, list(range(1, 10)), {"temperature": 1.0, "seed": 3})
    jobs = [engine.submit(asked.ids, asked.open, **asked.settings, **options) for options in (first, second)]
    engine.step()
    assert "waiting" not in {job.status for job in jobs}
    for job, options in zip(jobs, (first, second), strict=True):
        ids = torch.tensor([asked.ids])
        out = fef.decode(NETWORK, ids, eos_id=EOS, **asked.settings, **options)
        assert job.result().tokens == out.ids[0, 1:].tolist()
        assert job.certificate.reasons[: len(out.certificate.reasons)] == out.certificate.reasons


@pytest.mark.parametrize("prefix", [False, True])
def test_a_long_prompt_beyond_the_budget_is_refused_and_the_others_go_on(prefix):
    """Also where the budget is full of blocks that earlier requests left."""
    network = tiny_network(scale=0.3, packed=False, attention="block-causal", block_length=4)
    options = {"method": "sequential", "cache": "prefix"} if prefix else {"method": "threshold", "cache": "dual"}
    one = cache_bytes_of(network, make_plan(options["method"], {"cache": options["cache"]}, Network(network)), 64)
    engine = Engine(network, memory_gb=2.2 * one / 1e9)
    asked = [Ask([i, *[1, 2, 3] * 5] + [MASK] * 6, list(range(16, 22)), {"seed": i}) for i in range(5)]
    for a in asked:
        engine.submit(a.ids, a.open, **a.settings, **options).result()
    jobs = [engine.submit(a.ids, a.open, **a.settings, **options) for a in asked]
    engine.step()
    with pytest.raises(EngineError, match=r"needs .* GB of caches for its 190 tokens; the budget is .*memory_gb"):
        engine.submit([1] * 180 + [MASK] * 10, range(180, 190), **options)
    engine.run()
    assert [job.status for job in jobs] == ["done"] * 5


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried 3 GiB."
        ),
        MemoryError("no room"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_session_that_runs_out_of_memory_ends_the_long_request_only(monkeypatch, error):
    network = tiny_network(scale=0.3, packed=False, attention="block-causal", block_length=4)
    engine, trunk = Engine(network), type(network).trunk

    def crowded(self, ids_BN, *args):
        if ids_BN.shape[1] > 40:
            raise error
        return trunk(self, ids_BN, *args)

    monkeypatch.setattr(type(network), "trunk", crowded)
    asked = [[1] * 50, [2, 3], [1] * 9]
    jobs = [engine.submit(ids + [MASK] * 3, range(len(ids), len(ids) + 3), cache="prefix") for ids in asked]
    engine.run()
    assert [job.status for job in jobs] == ["failed", "done", "done"]
    with pytest.raises(EngineError, match=r"Out of memory: a canvas of 53 tokens under fef"):
        jobs[0].result()
