"""Requests and engines that cannot be are refused in a sentence, and what runs goes on."""

from __future__ import annotations

import pytest
import torch
from asking import engine_of
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.engine.engine import Engine
from fef.errors import EngineError, FefError, InputError, OptionError
from fef.models.config import MixtureConfig

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


def test_a_top_k_beyond_the_vocabulary_keeps_every_token():
    engine = engine_of()
    ask = {"temperature": 1.0, "seed": 4}
    huge, plain = (engine.submit([MASK] * 5, range(5), top_k=k, **ask).result() for k in (2**63 - 1, 0))
    assert huge.tokens == plain.tokens
    with pytest.raises(OptionError, match=r"top_k=.* below 2\^63"):
        engine.submit([MASK] * 5, range(5), top_k=2**63, **ask)


def test_costs_of_another_engine_are_refused(tmp_path):
    file = tmp_path / "costs.json"
    engine = engine_of()
    for _ in range(3):  # on a CPU the table has what rounds took
        engine.submit([MASK] * 6, range(6)).result()
    engine.measure().save(file)
    assert engine_of(costs=str(file)).packed.chooser.costs.cost_key == engine_of().packed.chooser.costs.cost_key
    with pytest.raises(InputError, match="context"):
        engine_of(costs=file, max_length=9)


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


@pytest.mark.parametrize("option", ["eos_id", "banned", "windows", "memory_gb", "threads", "max_length"])
def test_what_belongs_to_the_engine_cannot_be_asked_for_by_a_request(option):
    engine = engine_of()
    with pytest.raises(OptionError, match=f"no option '{option}'.*when you make the engine"):
        engine.submit([1, MASK], [1], **{option: 3})
    assert engine.submit([1, MASK], [1]).result().tokens
