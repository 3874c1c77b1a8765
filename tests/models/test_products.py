"""Matrices that meet the same tokens: one product in a compiled training step, one each elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fef.models.config import TransformerConfig
from fef.models.quantize import quantize_
from fef.models.transformer import Transformer
from fef.training.lora import adapt_

CONFIG: dict[str, Any] = {
    "vocab_size": 20, "dim": 8, "layers": 1, "heads": 2, "kv_heads": 1, "mlp_dim": 12, "mask_id": 1, "eos_id": 2
}  # fmt: skip
IDS, PLACES = torch.arange(3, 9)[None], torch.arange(6)[None]


class Counted:
    """Dynamo's backend that runs a graph as it is and counts its linear products."""

    def __init__(self) -> None:
        self.products = 0

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        self.products += sum(node.target in (F.linear, torch._C._nn.linear) for node in graph.graph.nodes)
        return graph.forward


def network(bias: bool, low_rank: bool) -> Transformer:
    model = Transformer(TransformerConfig(**CONFIG, qkv_bias=bias)).double()
    generator = torch.Generator().manual_seed(0)
    if low_rank:
        adapt_(model, 2, ("q", "k", "v", "up"), 0)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    return model


def outcome(model: Transformer) -> list[Tensor]:
    hidden, _ = model.trunk(IDS, PLACES, None)
    trained = [p for p in model.parameters() if p.requires_grad]
    return [hidden.detach(), *torch.autograd.grad(hidden.pow(3).sum(), trained)]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor is being accessed")
@pytest.mark.parametrize(("bias", "low_rank"), [(False, False), (True, True)])
def test_a_compiled_training_step_joins_them_and_changes_nothing(bias: bool, low_rank: bool) -> None:
    model, counted = network(bias, low_rank), Counted()
    expected = outcome(model)
    torch._dynamo.reset()
    model.blocks[0].compile(backend=counted)
    for found, value in zip(outcome(model), expected, strict=True):
        torch.testing.assert_close(found, value)
    assert counted.products == 4


@pytest.mark.parametrize("weights", [None, "int8"])
def test_a_compiled_pass_without_gradients_does_not_join_them(weights: str | None) -> None:
    model, counted = network(False, False).eval(), Counted()
    if weights is not None:
        quantize_(model, weights)
    torch._dynamo.reset()
    model.blocks[0].compile(backend=counted)
    with torch.no_grad():
        model.trunk(IDS, PLACES, None)
    assert counted.products == 7
