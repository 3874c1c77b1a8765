"""What layers on the hidden states keep to: a fresh one changes nothing, and a file is of one kind and one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tiny_network import MASK, tiny_joint_layer, tiny_network, tiny_order_block

import fef
from fef.models import hidden_layer
from fef.models.hidden_layer import HiddenLayer, load_layer, save_layer
from fef.models.joint_layer import JointLayer
from fef.models.order_block import OrderBlock
from fef.models.transformer import Transformer
from fef.training.demask import split_examples
from fef.training.hidden_layer import LayerOptions, mean_losses
from fef.training.joint_layer import joint_loss
from fef.training.order_block import order_loss
from fef.training.run import DataOptions


@dataclass(frozen=True)
class Kind:
    """A layer, the method that reads it, and what it is called."""

    layer: type[HiddenLayer]
    tiny: Callable[[Transformer], Any]
    method: str
    words: str
    loss: Any


KINDS = [
    Kind(OrderBlock, tiny_order_block, "ssmd", "an order-causal layer", order_loss),
    Kind(JointLayer, tiny_joint_layer, "adjust", "a joint layer", joint_loss),
]
IDS = torch.full((1, 6), MASK)
SHIPPED = [KINDS[0]]
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.method)


@pytest.fixture(scope="module")
def network() -> Transformer:
    return tiny_network(packed=False)


@each
def test_a_fresh_layer_changes_nothing(kind: Kind, network: Transformer) -> None:
    fresh = kind.layer(network).double()
    fresh.reset(0)
    slots = torch.tensor([[5, 2, 3]])
    hidden, tokens = network.hidden_at(IDS, slots), network.embed(slots)
    seen = [torch.ones_like(slots, dtype=torch.bool)] if kind.layer is JointLayer else []
    assert torch.equal(fresh(hidden, tokens, slots, *seen), hidden)
    assert not torch.equal(kind.tiny(network)(hidden, tokens, slots, *seen), hidden)


@each
def test_a_layer_is_read_again_as_it_was_written_but_for_rounding(kind: Kind, network: Transformer, tmp_path) -> None:
    layer, file = kind.tiny(network), tmp_path / "layer.safetensors"
    save_layer(file, layer, network)
    again = load_layer(file, kind.layer, network)
    for name, weight in layer.state_dict().items():
        step = weight.abs().amax(-1, keepdim=True) / 254 if weight.ndim == 2 else torch.tensor(0.0)  # int8 by rows
        assert bool(((again.state_dict()[name] - weight).abs() <= 1.001 * step + 1e-6).all())
    assert fef.decode(network, IDS, method=kind.method, layer=str(file)).certificate.kind == "process"


@each
@pytest.mark.parametrize("fault", ["another network", "another kind", "damaged"])
def test_a_file_that_is_not_its_own_is_refused(kind: Kind, network: Transformer, tmp_path, fault: str) -> None:
    file = tmp_path / "layer.safetensors"
    [other] = [one for one in KINDS if one is not kind]
    save_layer(file, (other if fault == "another kind" else kind).tiny(network), network)
    if fault == "damaged":
        file.write_bytes(file.read_bytes()[:100])
    here = tiny_network(5, packed=False) if fault == "another network" else network
    words = {"another network": "was trained on another network", "damaged": "missing, damaged"}
    with pytest.raises(fef.CheckpointError, match=words.get(fault, f"not {kind.words}")):
        fef.decode(here, IDS, method=kind.method, layer=str(file))


@each
def test_a_layer_of_another_width_is_refused_in_a_sentence(
    kind: Kind, network: Transformer, tmp_path, monkeypatch
) -> None:
    file = tmp_path / "layer.safetensors"
    with monkeypatch.context() as wide:
        wide.setattr(hidden_layer, "NARROWER", 1)
        save_layer(file, kind.tiny(network), network)
        load_layer(file, kind.layer, network)
    with pytest.raises(fef.CheckpointError, match=rf"not {kind.words} of this network \(size mismatch for ") as error:
        load_layer(file, kind.layer, network)
    assert "\n" not in str(error.value) and f"Train one with `fef train --objective {kind.method}`" in str(error.value)


@each
def test_a_denoiser_without_a_layer_is_refused(kind: Kind, network: Transformer) -> None:
    with pytest.raises(fef.OptionError, match=f"comes without {kind.words}"):
        fef.decode(network, IDS, method=kind.method)
    table = fef.TableDenoiser.inconsistent(3, 4, seed=0)
    with pytest.raises(fef.OptionError, match="needs a fef Transformer"):
        fef.decode(table, torch.full((1, 4), 3), method=kind.method)


@pytest.mark.parametrize("kind", SHIPPED, ids=lambda kind: kind.method)
def test_demo_comes_with_a_layer_that_knows_more_than_a_pass(kind: Kind) -> None:
    model = fef.load("demo", device="cpu")
    found = model.generate("What is 2 + 3?", method=kind.method, max_new_tokens=8)
    assert (
        found.certificate.kind == "process"
        and f"demo with its {kind.words.split(maxsplit=1)[1]}" in found.certificate.law
    )
    [own] = [part for part in vars(model.network.extras).values() if isinstance(part, kind.layer)]
    data = DataOptions(tasks={"word-problems": 1, "joint": 1}, count=64)
    held_out = split_examples(data, model.network.config, model.tokenizer, 48, 0, "held-out")
    options = LayerOptions(batch_size=8, canvas_length=48, slots=16)
    without, by_own = mean_losses(model.network, own, kind.loss, held_out, options, 2)
    _, by_any = mean_losses(model.network, kind.tiny(model.network, scale=0.02), kind.loss, held_out, options, 2)
    assert by_own < without < by_any
