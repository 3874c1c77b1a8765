"""Whatever goes wrong, every request ends with a result or a clear error, and the others do not notice."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from asking import METHODS, Ask, answered, asks, by_decode, differences, submitted
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.inputs import Settings
from fef.decoding.network import Network
from fef.engine.engine import Engine
from fef.engine.session_rounds import cache_bytes_of
from fef.errors import DenoiserError, EngineError, FefError, InputError, OptionError
from fef.models.config import MixtureConfig

NETWORK = tiny_network(scale=0.3)
POISON = 6


def engine_of(network=NETWORK, **options) -> Engine:
    return Engine(network, **{"max_batch": 3, "max_length": 14, "windows": (4,), "threads": 1} | options)


def long_asks(count: int) -> list[Ask]:
    return [Ask([i % 6] + [MASK] * 13, list(range(1, 14)), {"temperature": 1.0, "seed": i}) for i in range(count)]


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
    good = asks(20, seed=1, vocabulary=POISON)
    expected = by_decode(network, good, banned=[POISON], **method)
    for batch, count in ((1, 8), (3, 20)):
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


# --- requests that cannot be ---


def test_a_request_that_is_too_long_for_any_rounds():
    engine = Engine(tiny_network(packed=False), max_length=14)
    with pytest.raises(EngineError, match=r"15 tokens.* holds 14.*max_length"):
        engine.submit([0] * 14 + [MASK], [14])
    cramped = Engine(tiny_network(packed=False), memory_gb=1e-6)
    with pytest.raises(EngineError, match=r"GB of caches.*memory_gb"):
        cramped.submit([0] + [MASK] * 8, range(1, 9), method="threshold", cache="dual")
    assert cramped.submit([0] + [MASK] * 8, range(1, 9), method="threshold").result().tokens


def test_a_request_that_is_too_long():
    engine = engine_of(max_new_tokens=5)
    with pytest.raises(EngineError, match=r"15 tokens, 1 of them.* holds 14 and 5.*max_length"):
        engine.submit([0] * 14 + [MASK], [14])
    with pytest.raises(EngineError, match=r"8 tokens, 6 of them.* holds 14 and 5.*max_new_tokens"):
        engine.submit([MASK] * 8, range(6))
    assert not engine.busy
    assert len(engine.submit([MASK] * 14, range(5)).result().tokens) == 5


@pytest.mark.parametrize(
    ("ids", "open_", "words"),
    [
        ([1, 2], [], "no open position"),
        ([1, 8], [0], "hold 8, outside the vocabulary"),
        ([1, -1], [0], "hold -1"),
        ([1, MASK], [2], "from 0 to 1"),
        ([1, MASK], [-1], "from 0 to 1"),
        ([1, MASK], [1, 1], "different"),
        ([1.0, MASK], [1], "whole numbers"),
        ([[1, MASK]], [1], "whole numbers"),
        ([1, MASK], [True, 0.5], "whole numbers"),
    ],
)
def test_wrong_canvases(ids, open_, words):
    engine = engine_of()
    with pytest.raises(InputError, match=words):
        engine.submit(ids, open_)
    assert not engine.busy


def test_numbers_of_other_kinds_are_numbers():
    engine = engine_of()
    plain = engine.submit([1, MASK, MASK], [1, 2]).result()
    assert engine.submit(torch.tensor([1, MASK, MASK]), torch.tensor([1, 2])).result() == plain
    assert engine.submit(torch.tensor([1, MASK, MASK]).numpy(), range(1, 3)).result() == plain


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "best"}, "Unknown method"),
        ({"window_size": 4}, "no option 'window_size'"),
        ({"self": 4}, "no option 'self'"),
        ({"steps": 0}, "steps"),
        ({"accept": "always"}, "accept"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": [0.5]}, "one number"),
        ({"temperature": "hot"}, "one number"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": [1.0]}, "one number"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 0.5}, "top_k"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"cache": "prefix"}, "would break the law"),
        ({"method": "sequential", "block_steps": 2}, "block_steps"),
    ],
    ids=str,
)
def test_wrong_options_of_a_request(options, words):
    engine = engine_of()
    with pytest.raises(OptionError, match=words):
        engine.submit([1, MASK], [1], **options)
    assert not engine.busy


def test_networks_without_packed_rounds():
    for network in (tiny_network(packed=False), tiny_network(mixture=MixtureConfig(4, 2, 8))):
        with pytest.raises(OptionError, match="packed rounds"):
            engine_of(network).measure()


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
    engine.packed.collect = lambda: None  # type: ignore[method-assign]
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
        engine.certificate(engine.plan("fef", {"window": i % 700 + 1}), Settings(0.1 + i / 1e4))
    assert len(engine.plans) <= 1000
    assert len(engine.certificates) <= 1000


# --- with text ---


@pytest.fixture(scope="module")
def demo():
    return fef.load("demo", device="cpu")


def test_a_prompt_that_fails_takes_back_those_before_it(demo):
    engine = demo.engine(max_batch=2, max_length=64, max_new_tokens=8, threads=1)
    with pytest.raises(InputError):
        engine.generate(["Ann has 3 cats.", 5], max_new_tokens=4)  # type: ignore[list-item]
    assert not engine.engine.busy
    with pytest.raises(EngineError, match="holds 64 and 8"):
        engine.generate(["Ann has 3 cats.", "Ann has 3 cats. " * 12], max_new_tokens=4)
    with pytest.raises(OptionError, match="3 values for 2 prompts"):
        engine.generate(["a", "b"], seed=[1, 2, 3])
    assert engine.generate([]) == []


def test_status_and_cancel_of_a_text_request(demo):
    engine = demo.engine(max_batch=1, max_length=64, max_new_tokens=8, threads=1)
    jobs = [engine.submit("Ann has 3 cats.", max_new_tokens=4) for _ in range(2)]
    assert [job.status for job in jobs] == ["waiting"] * 2
    jobs[0].cancel()
    with pytest.raises(EngineError, match="cancelled"):
        jobs[0].result()
    assert jobs[1].result().stats["seconds"] > 0
    assert engine.notes == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(FefError, match=r"'cuda' cannot be used here.*device='cpu'"):
        fef.load("demo", device="cuda")


@pytest.mark.parametrize("device", ["meta", "tpu9", "cuda:999"])
def test_other_devices_that_are_not_there(device):
    with pytest.raises(OptionError, match="cannot be used here"):
        fef.load("demo", device=device)


def test_an_end_token_that_is_banned():
    with pytest.raises(OptionError, match="banned"):
        engine_of(eos_id=EOS, banned=[EOS])


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


def test_a_top_k_beyond_the_vocabulary_keeps_every_token():
    engine = engine_of()
    ask = {"temperature": 1.0, "seed": 4}
    huge, plain = (engine.submit([MASK] * 5, range(5), top_k=k, **ask).result() for k in (2**63 - 1, 0))
    assert huge.tokens == plain.tokens
    with pytest.raises(OptionError, match=r"top_k=.* below 2\^63"):
        engine.submit([MASK] * 5, range(5), top_k=2**63, **ask)


def test_costs_of_another_engine_are_refused(tmp_path):
    file = tmp_path / "costs.json"
    engine_of().packed.chooser.costs.save(file)
    assert engine_of(costs=str(file)).packed.chooser.costs.cost_key == engine_of().packed.chooser.costs.cost_key
    with pytest.raises(InputError, match="context"):
        engine_of(costs=file, max_length=9)


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


def test_results_asked_for_by_several_threads():
    asked = [{"temperature": 0.8, "seed": seed} for seed in range(12)]
    expected = [engine_of().submit([MASK] * 9, range(9), **ask).result().tokens for ask in asked]
    engine = engine_of(max_batch=3)
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda ask: engine.submit([MASK] * 9, range(9), **ask).result().tokens, asked)
        assert list(found) == expected


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


def test_what_is_no_network_is_refused():
    with pytest.raises(InputError, match="str is not a denoiser"):
        Engine("demo")  # type: ignore[arg-type]


def test_fewer_steps_than_blocks_are_refused_when_a_request_is_submitted():
    engine = engine_of()
    with pytest.raises(OptionError, match="steps=2 are fewer than the 3 blocks"):
        engine.submit([MASK] * 6, range(6), method="low-confidence", steps=2, block_length=2)
    assert not engine.unfinished
    asked = engine.submit([MASK] * 6, range(6), method="low-confidence", steps=4, block_length=2)
    assert asked.result().counters["calls"] == 4


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


@pytest.mark.parametrize("option", ["eos_id", "banned", "windows", "memory_gb", "threads", "max_length"])
def test_what_belongs_to_the_engine_cannot_be_asked_for_by_a_request(option):
    engine = engine_of()
    with pytest.raises(OptionError, match=f"no option '{option}'.*when you make the engine"):
        engine.submit([1, MASK], [1], **{option: 3})
    assert engine.submit([1, MASK], [1]).result().tokens


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
