"""Mixtures of experts against sums written out token by token, and routers against enumeration."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import tiny_network
from torch import Tensor

import fef
from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.mlp import Mixture, Router

DIM = 6
SOFTMAX = {"experts": 5, "per_token": 2, "expert_dim": 4}
GROUPED = {"experts": 8, "per_token": 3, "expert_dim": 4, "shared_dim": 5, "scores": "sigmoid", "selection_bias": True}
GROUPED |= {"groups": 4, "top_groups": 2, "normalize": True, "scale": 2.5}


def mixture(seed: int = 0, **config: Any) -> Mixture:
    made = Mixture(DIM, MixtureConfig(**config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made.requires_grad_(False)


def some_hidden(seed: int = 1) -> Tensor:
    return torch.randn(2, 7, DIM, generator=torch.Generator().manual_seed(seed))


def swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return down @ (F.silu(gate @ x) * (up @ x))


@pytest.mark.parametrize("config", [SOFTMAX, GROUPED], ids=["softmax", "grouped sigmoid"])
def test_a_mixture_is_the_weighted_sum_of_its_chosen_experts(config):
    made, hidden = mixture(**config), some_hidden()
    output = made(hidden)
    for b, n in itertools.product(range(2), range(7)):
        x = hidden[b, n]
        expert_C, weight_C = (t[0] for t in made.router(x[None]))
        wanted = sum(
            w * swiglu(x, made.experts.gate[e], made.experts.up[e], made.experts.down[e])
            for e, w in zip(expert_C.tolist(), weight_C, strict=True)
        )
        if made.shared is not None:
            wanted = wanted + swiglu(x, made.shared.gate.weight, made.shared.up.weight, made.shared.down.weight)
        torch.testing.assert_close(output[b, n], wanted, rtol=1e-5, atol=1e-5)


def enumerated(scores: list[float], bias: list[float], config: MixtureConfig) -> tuple[set[int], dict[int, float]]:
    """The chosen experts and their weights, by trying every set of groups and every set of experts in it."""
    size = config.experts // config.groups
    choice = [s + b for s, b in zip(scores, bias, strict=True)]
    worth = [sum(sorted(choice[g * size : (g + 1) * size])[-2:]) for g in range(config.groups)]
    groups = max(
        itertools.combinations(range(config.groups), config.top_groups), key=lambda gs: sum(worth[g] for g in gs)
    )
    allowed = [e for e in range(config.experts) if e // size in groups]
    chosen = max(itertools.combinations(allowed, config.per_token), key=lambda es: sum(choice[e] for e in es))
    total = sum(scores[e] for e in chosen) if config.normalize else 1.0
    return set(chosen), {e: config.scale * scores[e] / total for e in chosen}


@given(st.integers(0, 10_000), st.sampled_from([(1, 1), (2, 1), (4, 2), (4, 4), (8, 3)]), st.booleans())
def test_routers_choose_and_weigh_as_enumeration_does(seed, groups, normalize):
    config = MixtureConfig(**(GROUPED | {"groups": groups[0], "top_groups": groups[1], "normalize": normalize}))
    generator = torch.Generator().manual_seed(seed)
    router = Router(DIM, config).requires_grad_(False)
    assert router.selection_bias is not None
    router.weight.copy_(torch.randn(router.weight.shape, generator=generator))
    router.selection_bias.copy_(torch.randn(8, generator=generator))
    hidden = torch.randn(1, DIM, generator=generator)
    expert_C, weight_C = (t[0] for t in router(hidden))
    scores = router.logits(hidden)[0].sigmoid().tolist()
    chosen, weights = enumerated(scores, router.selection_bias.tolist(), config)
    assert set(expert_C.tolist()) == chosen
    for expert, weight in zip(expert_C.tolist(), weight_C.tolist(), strict=True):
        assert weight == pytest.approx(weights[expert], rel=1e-4)


def test_a_router_in_bfloat16_still_decides_in_float32():
    router = mixture(**GROUPED).router
    hidden = some_hidden().view(-1, DIM).bfloat16()
    expert, weight = router(hidden)
    assert weight.dtype == torch.float32
    assert torch.equal(expert, router(hidden.float())[0])


def test_a_network_of_experts_trains_and_survives_its_config():
    model = tiny_network(mixture=MixtureConfig(**SOFTMAX, dense_layers=(0,)), stop_ids=(3,)).float()
    assert [type(block.mlp).__name__ for block in model.blocks] == ["SwiGLU", "Mixture"]
    assert TransformerConfig.from_dict(model.config.to_dict()) == model.config
    model.reset(0)
    model.requires_grad_(True)
    model(torch.zeros(1, 4, dtype=torch.int64)).sum().backward()
    assert model.blocks[1].mlp.experts.down.grad is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"groups": 3}, "groups must be equal"),
        ({"top_groups": 2}, "at most all of them"),
        ({"per_token": 6}, "cannot choose 6 of 5"),
        ({"scores": "sofmax"}, "Did you mean 'softmax'"),
    ],
)
def test_impossible_mixtures_are_refused(wrong, words):
    with pytest.raises(fef.CheckpointError, match=words):
        MixtureConfig(**(SOFTMAX | wrong))
