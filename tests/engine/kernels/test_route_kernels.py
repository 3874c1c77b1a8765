"""The kernels choose the experts that the network's router chooses, and put the assignments in the order of a stable sort."""

from __future__ import annotations

import pytest
import torch

from fef.engine.kernels.route import assign, choose_experts
from fef.models.config import MixtureConfig
from fef.models.mlp import Router

ROUTERS = {
    "LLaDA2": {
        "experts": 16,
        "per_token": 3,
        "scores": "sigmoid",
        "selection_bias": True,
        "groups": 4,
        "top_groups": 2,
    },
    "softmax": {"experts": 12, "per_token": 5},
    "one expert a group": {"experts": 6, "per_token": 2, "groups": 6, "top_groups": 3, "scores": "sigmoid"},
    "groups of three": {"experts": 15, "per_token": 4, "groups": 5, "top_groups": 2, "selection_bias": True},
    "all of them": {"experts": 5, "per_token": 5, "scores": "sigmoid"},
    "one": {"experts": 1, "per_token": 1},
}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", ROUTERS)
def test_experts_and_weights_are_those_of_the_router(name: str, normalize: bool, device: str) -> None:
    config = MixtureConfig(expert_dim=4, normalize=normalize, scale=2.5, **ROUTERS[name])
    router = Router(8, config)
    generator = torch.Generator().manual_seed(len(name))
    if router.selection_bias is not None:
        router.selection_bias.data = 0.3 * torch.randn(config.experts, generator=generator)
    part_STX = torch.randn(3, 9, config.experts, generator=generator)
    expert_TC, weight_TC = router.choose(part_STX.sum(0))
    bias_X = None if router.selection_bias is None else router.selection_bias.detach().to(device)
    chosen_TC, given_TC = choose_experts(part_STX.to(device), bias_X, config)
    assert chosen_TC.tolist() == expert_TC.tolist()
    torch.testing.assert_close(given_TC.cpu(), weight_TC.detach(), rtol=1e-5, atol=1e-6)


def test_of_equal_experts_the_first_are_taken(device: str) -> None:
    config = MixtureConfig(experts=8, per_token=3, expert_dim=4, groups=4, top_groups=2, scores="sigmoid")
    logits = torch.zeros(1, 2, 8, device=device)
    logits[0, 1, 6:] = 1.0
    assert choose_experts(logits, None, config)[0].tolist() == [[0, 1, 2], [6, 7, 0]]


def test_logits_that_are_no_numbers_choose_experts_that_there_are(device: str) -> None:
    """Else weights of other layers would be read; the row's own result is no number in any case."""
    for scores in ("softmax", "sigmoid"):
        config = MixtureConfig(experts=6, per_token=2, expert_dim=4, groups=3, top_groups=1, scores=scores)
        logits = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(0)).to(device)
        logits[0, 1], logits[0, 2, 3] = torch.nan, torch.nan
        chosen_TC, _ = choose_experts(logits, None, config)
        assert int(chosen_TC.min()) >= 0 and int(chosen_TC.max()) < 6
        assert torch.equal(chosen_TC[0], choose_experts(logits[:, :1].contiguous(), None, config)[0][0])


@pytest.mark.parametrize(("tokens", "experts"), [(1, 4), (7, 5), (400, 3), (5, 300)])
def test_assignments_stand_in_the_order_of_a_stable_sort(tokens: int, experts: int, device: str) -> None:
    generator = torch.Generator().manual_seed(tokens)
    expert_TC = torch.randint(0, experts, (tokens, 3), generator=generator, dtype=torch.int32)
    expert_A, order_A = expert_TC.flatten().sort(stable=True)
    found = assign(expert_TC.to(device), torch.rand(tokens, 3, device=device), experts)
    assert found.order_A.tolist() == order_A.tolist()
    assert found.end_X.tolist() == [int((expert_A <= expert).sum()) for expert in range(experts)]
