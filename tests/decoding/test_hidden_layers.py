"""What layers on the hidden states keep to: a fresh one changes nothing, and a file is of one kind and one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tiny_network import MASK, tiny_joint_layer, tiny_network, tiny_order_block

import fef
from fef.models.hidden_layer import HiddenLayer, load_layer, save_layer
from fef.models.joint_layer import JointLayer
from fef.models.order_block import OrderBlock
from fef.models.transformer import Transformer


@dataclass(frozen=True)
class Kind:
    """A layer, the method that reads it, and what it is called."""

    layer: type[HiddenLayer]
    tiny: Callable[[Transformer], Any]
    method: str
    words: str


KINDS = [
    Kind(OrderBlock, tiny_order_block, "ssmd", "an order-causal layer"),
    Kind(JointLayer, tiny_joint_layer, "adjust", "a joint layer"),
]
IDS = torch.full((1, 6), MASK)
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
def test_a_denoiser_without_a_layer_is_refused(kind: Kind, network: Transformer) -> None:
    with pytest.raises(fef.OptionError, match=f"comes without {kind.words}"):
        fef.decode(network, IDS, method=kind.method)
    table = fef.TableDenoiser.inconsistent(3, 4, seed=0)
    with pytest.raises(fef.OptionError, match="needs a fef Transformer"):
        fef.decode(table, torch.full((1, 4), 3), method=kind.method)
