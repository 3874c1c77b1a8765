"""Sessions on a GPU: as `fef.decode` on a CPU in float32, for every method and family, and batch invariant in bfloat16.

python -m pytest -s -m gpu tests/engine/test_sessions_on_gpu.py
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from all_methods import GREEDY, METHODS, under_packed_law
from asking import Ask, asks
from device_waits import no_waits
from tiny_network import EOS, MASK, tiny_causal, tiny_joint_layer, tiny_network, tiny_order_block, tiny_policy

import fef
from fef.engine.cached_network import CachedNetwork
from fef.engine.engine import Engine, Job
from fef.models.config import MixtureConfig
from fef.models.demask import DependencyHead
from fef.models.extras import Extras
from fef.models.transformer import Transformer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

MIXTURE = MixtureConfig(
    experts=16, per_token=4, expert_dim=32, shared_dim=32, dense_layers=(0,), scores="sigmoid", selection_bias=True,
    groups=4, top_groups=2, normalize=True, scale=2.5,
)  # fmt: skip
CAUSAL = {"attention": "block-causal", "block_length": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "LLaDA": {"tied_embeddings": False},
    "Dream": {"shift": True, "qkv_bias": True, "kv_heads": 2},
    "SDAR": {"qk_norm": True, "kv_heads": 2} | CAUSAL,
    "LLaDA2": {"qk_norm": True, "kv_heads": 2, "rotary_dim": 8, "mixture": MIXTURE} | CAUSAL,
    "LLaDA-MoE": {"mixture": MixtureConfig(experts=8, per_token=2, expert_dim=32)},
}
EVERY = pytest.mark.parametrize("family", FAMILIES)
EXACT_CACHE = [("sequential", {"cache": "prefix"}), ("fef", {"cache": "prefix", "window": 5})]


def network(family: str, **config: Any) -> Transformer:
    size = {"dim": 64, "heads": 4, "head_dim": 16, "mlp_dim": 128, "packed": False}
    model = tiny_network(scale=0.3, **size | FAMILIES[family] | config).float()
    torch.manual_seed(0)
    head, layer, causal = DependencyHead(model.config.dim, rank=4), tiny_order_block(model), tiny_causal().float()
    profile, joint = (1.5, 1.0, 0.8, 0.3, 0.2), tiny_joint_layer(model)
    model.extras = Extras(head, profile, layer, causal, unmask_policy=tiny_policy(), joint_layer=joint)
    return model


def on_gpu(model: Transformer, dtype: torch.dtype = torch.float32) -> Transformer:
    there = copy.deepcopy(model).to("cuda", dtype)
    extras = model.extras
    moved = [copy.deepcopy(part).to("cuda", dtype) for part in (extras.order_block, extras.causal_model)]
    there.extras = Extras(
        copy.deepcopy(extras.dependency_head).cuda(),
        extras.information_profile,
        *moved,
        unmask_policy=copy.deepcopy(extras.unmask_policy).cuda(),
        joint_layer=copy.deepcopy(extras.joint_layer).to("cuda", dtype),
    )
    return there


def settings_of(family: str) -> list[tuple[str, dict[str, Any]]]:
    found = [each for each in METHODS if not under_packed_law(*each)]
    found.append(("threshold", {"cache": "prefix", "block_length": 4}))
    return found + EXACT_CACHE if "attention" in FAMILIES[family] else found


def with_prompt(ask: Ask, method: str) -> Ask:
    settings = ask.settings | ({"temperature": 0.0} if method in GREEDY else {})
    return Ask([3, *ask.ids], [p + 1 for p in ask.open], settings)


def alone(model: Transformer, ask: Ask, method: str, options: dict[str, Any]) -> fef.Decoded:
    ids = torch.tensor([ask.ids])
    open_ = torch.zeros_like(ids, dtype=torch.bool)
    open_[0, ask.open] = True
    return fef.decode(model, ids, open=open_, eos_id=EOS, method=method, **ask.settings, **options)


@EVERY
def test_every_method_gives_what_decode_gives_on_a_cpu(family):
    model = network(family)
    engine = Engine(on_gpu(model), eos_id=EOS, max_batch=16, max_length=64)
    assert isinstance(engine.sessions.new_network(), CachedNetwork)
    dice = random.Random(family)
    asked = [
        (with_prompt(ask, method), method, options)
        for method, options in settings_of(family)
        for ask in asks(3, dice.randrange(99), 12)
    ]
    dice.shuffle(asked)
    jobs = []
    for ask, method, options in asked:
        jobs.append(engine.submit(ask.ids, ask.open, method=method, **ask.settings, **options))
        if len(jobs) % 5 == 0:
            engine.step()
    engine.run()
    wrong = []
    for job, (ask, method, options) in zip(jobs, asked, strict=True):
        expected, found = alone(model, ask, method, options), job.result()
        logprobs = torch.tensor(found.logprobs, dtype=torch.float64)
        if found.tokens != expected.ids[0, ask.open].tolist():
            wrong.append((method, options, ask, "tokens"))
        elif not torch.allclose(logprobs, expected.logprobs[0, ask.open], rtol=0, atol=1e-4):
            wrong.append((method, options, ask, "log p"))
    assert len(asked) > 80
    assert wrong == [] and engine.notes == []


def bits(job: Job) -> tuple[list[int], list[str]]:
    result = job.result()
    return result.tokens, [x.hex() for x in result.logprobs]


@EVERY
@pytest.mark.parametrize("longest", [14, 300])
def test_bitwise_the_same_in_any_batch(family, longest):
    """Long canvases have products of their own in whole passes."""
    model = on_gpu(network(family, max_length=320), torch.bfloat16)
    methods = [("threshold", {"cache": "dual", "block_length": 4}), ("fef", {"window": 3}), ("low-confidence", {})]
    if "attention" in FAMILIES[family]:
        methods += [("fef", {"cache": "prefix", "window": 5}), ("threshold", {"cache": "prefix"})]
    dice = random.Random(family)
    asked = []
    for method, options in methods:
        for _ in range(6):
            length = dice.randint(longest // 2, longest)
            masks = dice.randint(3, min(12, length - 1))
            prompt = [dice.randrange(7) for _ in range(length - masks)]
            settings = {"temperature": dice.choice([0.0, 0.7, 1.0]), "seed": dice.randrange(2**40)}
            asked.append((prompt, masks, method, settings | options))
    found = []
    for batch in (1, 3, 16):
        engine = Engine(model, eos_id=EOS, max_batch=batch, max_length=320)
        jobs = [
            engine.submit(prompt + [MASK] * masks, range(len(prompt), len(prompt) + masks), method=method, **settings)
            for prompt, masks, method, settings in asked
        ]
        engine.run()
        found.append([bits(job) for job in jobs])
    assert found[0] == found[1] == found[2]


@EVERY
def test_a_captured_pass_makes_the_host_wait_for_nothing(family):
    model = on_gpu(network(family), torch.bfloat16)
    cached = Engine(model, eos_id=EOS, max_batch=4, max_length=64).sessions.new_network()
    ids_RL, at_RS = torch.ones(3, 16, dtype=torch.int64).cuda(), torch.arange(8).expand(3, -1).cuda()
    keys, rows_B = cached.kept_keys(ids_RL), torch.arange(3).cuda()
    lengths_R = torch.tensor([16, 12, 9]).cuda()

    def passes() -> list[torch.Tensor]:
        plain = cached.padded_logits(ids_RL, at_RS, lengths_R)
        kept, _ = keys.renew(rows_B, ids_RL, at_RS, at_RS[:, :0], lengths_R)
        return [plain, kept]

    first = passes()
    with no_waits():
        again = passes()
        with pytest.raises(RuntimeError):
            bool((again[0] > 0).any())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_what_a_request_leaves_in_the_arena_reaches_no_other():
    """Its places are taken over, whatever is in them."""
    model = on_gpu(network("SDAR"))
    engine = Engine(model, eos_id=EOS, max_batch=2, max_length=64)
    first = [engine.submit([1] * 8 + [MASK] * 8, range(8, 16), method="fef", cache="prefix", seed=s) for s in range(2)]
    engine.run()
    arena = engine.sessions.new_network().passes.arena
    assert arena.taken == {}
    arena.pair_2YPGE.fill_(torch.nan)
    engine.sessions.drop_prefixes()  # so that the same passes are run
    again = [engine.submit([1] * 8 + [MASK] * 8, range(8, 16), method="fef", cache="prefix", seed=s) for s in range(2)]
    engine.run()
    assert [bits(job) for job in again] == [bits(job) for job in first]


@pytest.mark.parametrize("family", ["SDAR", "LLaDA2"])
def test_requests_behind_one_prompt_compute_it_once(family):
    """Its keys are copied out of the arena and into the places of later requests."""
    model, prompt = network(family), [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5]
    engine = Engine(on_gpu(model), eos_id=EOS, max_batch=4, max_length=64)
    asked = [
        (Ask([*prompt, *[MASK] * 7], list(range(11, 18)), {"temperature": 1.0, "seed": seed}), *settings)
        for seed in range(6)
        for settings in [*EXACT_CACHE, ("threshold", {"cache": "prefix", "threshold": 0.4})]
    ]
    jobs = [engine.submit(a.ids, a.open, method=method, **a.settings, **options) for a, method, options in asked]
    engine.run()
    assert engine.stats["prefix_tokens_reused"] == 8 * (len(jobs) - 1)
    for job, each in zip(jobs, asked, strict=True):
        expected, found = alone(model, *each), job.result()
        assert found.tokens == expected.ids[0, each[0].open].tolist()
        logprobs = torch.tensor(found.logprobs, dtype=torch.float64)
        torch.testing.assert_close(logprobs, expected.logprobs[0, each[0].open], rtol=0, atol=1e-4)
