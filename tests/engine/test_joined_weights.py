"""Joined matrices: nothing is held twice, and the network stays what it was."""

from __future__ import annotations

import copy
from operator import attrgetter

import pytest
import torch
from asking import answered, asks, by_decode, differences
from tiny_network import tiny_network

from fef.engine.engine import Engine
from fef.errors import OptionError
from fef.models.checkpoint import demo_path, load_checkpoint, save_checkpoint
from fef.models.config import MixtureConfig
from fef.models.joined import ExpertWeights, FeedForward, in_order, join_weights
from fef.models.quantize import quantize_

NETWORKS = {
    "plain": {},
    "grouped heads": {"heads": 4, "kv_heads": 2},
    "biases": {"qkv_bias": True, "out_bias": True, "qk_norm": True},
}
CONFIGS = pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)


def storages(network) -> int:
    """Bytes of all storages that parameters and buffers live in, each counted once."""
    found = {}
    for tensor in [*network.parameters(), *network.buffers()]:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(found.values())


def logits(network) -> torch.Tensor:
    return network(torch.tensor([[1, 2, 7, 7, 3]]))


@CONFIGS
def test_joined_matrices_multiply_as_their_parts(config):
    network = tiny_network(**config)
    parts = copy.deepcopy(network)
    layers = join_weights(network)
    x = torch.randn(5, network.config.dim, generator=torch.manual_seed(0), dtype=torch.float64)
    for layer, block in zip(layers, parts.blocks, strict=True):
        qkv = torch.cat([block.attn.q(x), block.attn.k(x), block.attn.v(x)], 1)
        torch.testing.assert_close(layer.qkv(x), qkv)
        torch.testing.assert_close(layer.feed_forward.gate_up(x), torch.cat([block.mlp.gate(x), block.mlp.up(x)], 1))
        mixed = torch.randn(5, layer.out.weight.shape[1], dtype=torch.float64)
        torch.testing.assert_close(layer.out(mixed), block.attn.out(mixed))
        wide = torch.randn(5, network.config.mlp_dim, dtype=torch.float64)
        torch.testing.assert_close(layer.feed_forward.down(wide), block.mlp.down(wide))


@pytest.mark.parametrize("format", ["int8", "fp8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quantized_matrices_give_the_bits_of_the_network(format, dtype):
    """A scale that is rounded to 16 bits makes another matrix."""
    network = quantize_(tiny_network(**NETWORKS["biases"], dim=64).to(dtype), format)
    parts = copy.deepcopy(network)
    x = torch.randn(5, 64, generator=torch.manual_seed(0)).to(dtype)
    for layer, block in zip(join_weights(network), parts.blocks, strict=True):
        assert torch.equal(layer.out(x), block.attn.out(x))
        wide = x[:, : network.config.mlp_dim]
        assert torch.equal(layer.feed_forward.down(wide), block.mlp.down(wide))


@CONFIGS
def test_the_network_is_unchanged_and_shares_the_numbers(config):
    network = tiny_network(**config)
    before, state, size = logits(network), copy.deepcopy(network.state_dict()), storages(network)
    layers = join_weights(network)
    assert storages(network) == size
    torch.testing.assert_close(logits(network), before, rtol=0, atol=1e-12)  # matrices at another place in memory
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])
    q = network.blocks[0].attn.q.weight
    q += 1.0
    assert torch.equal(layers[0].qkv.weight[: len(q)], q)


@CONFIGS
def test_joined_twice_is_joined_once(config):
    network = tiny_network(**config)
    first, second = join_weights(network), join_weights(network)
    for one, two in zip(first, second, strict=True):
        for name in ("qkv", "out", "feed_forward.gate_up", "feed_forward.down"):
            a, b = attrgetter(name)(one), attrgetter(name)(two)
            assert a.weight.data_ptr() == b.weight.data_ptr()
            assert torch.equal(a.weight, b.weight)
            assert (a.bias is None) == (b.bias is None)
            if a.bias is not None:
                assert torch.equal(a.bias, b.bias)


def test_two_engines_on_one_network():
    network = tiny_network(scale=0.3)
    asked = asks(12, seed=1)
    expected = by_decode(network, asked)
    engines = [Engine(network, max_length=16, max_batch=batch, threads=1) for batch in (2, 5)]
    for engine in engines:
        assert differences(answered(engine, asked), expected) == []
    assert differences(by_decode(network, asked), expected) == []


@pytest.mark.parametrize("format", ["int8", "fp8"])
@CONFIGS
def test_quantized_networks(config, format):
    """Joined matrices keep the numbers and the scales of their parts."""
    network = quantize_(tiny_network(scale=0.3, **config).float(), format)
    parts = copy.deepcopy(network)
    size = storages(network)
    layers = join_weights(network)
    assert storages(network) == size
    x = torch.randn(5, 16, generator=torch.manual_seed(0))
    for layer, block in zip(layers, parts.blocks, strict=True):
        qkv = torch.cat([block.attn.q(x), block.attn.k(x), block.attn.v(x)], 1)
        torch.testing.assert_close(layer.qkv(x), qkv)
        assert layer.qkv.weight.dtype is block.attn.q.weight.dtype
        assert layer.qkv.scale is not None and len(layer.qkv.scale) == len(layer.qkv.weight)
    asked = asks(12, seed=2)
    expected = by_decode(parts, asked)
    assert differences(answered(Engine(network, max_length=16, max_batch=4, threads=1), asked), expected, 1e-4) == []
    assert differences(by_decode(network, asked), expected, 1e-4) == []


def test_a_joined_network_is_saved_as_any_other(tmp_path):
    network, tokenizer = load_checkpoint(demo_path())
    network.half().float()
    ids = torch.tensor([[5, 6, 7, network.mask_id]])
    with torch.no_grad():
        before = network(ids)
        join_weights(network)
        save_checkpoint(tmp_path / "model", network, tokenizer, torch.float32)
        again, _ = load_checkpoint(tmp_path / "model")
        torch.testing.assert_close(again(ids), before)
    plain = sum(p.numel() * 4 for p in network.parameters())
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 1.01 * plain + 100_000


def test_a_mixture_of_experts_shares_its_numbers_too():
    network = tiny_network(mixture=MixtureConfig(4, 2, 8, shared_dim=8, dense_layers=(0,)))
    size = storages(network)
    dense, mixture = (layer.feed_forward for layer in join_weights(network))
    assert storages(network) == size
    assert isinstance(dense, FeedForward) and isinstance(mixture, ExpertWeights)
    experts = network.blocks[1].mlp.experts
    assert mixture.gate_XFD.data_ptr() == experts.gate.data_ptr()
    assert mixture.shared is not None


def test_a_mixture_of_experts_has_no_packed_rounds():
    with pytest.raises(OptionError, match="without experts"):
        Engine(tiny_network(mixture=MixtureConfig(4, 2, 8))).packed_rounds()


@CONFIGS
def test_matrices_in_order_multiply_as_they_are(config):
    """To the rounding of bfloat16; those of another layer are far away."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("needs a CPU with products in bfloat16")
    layers = join_weights(tiny_network(**config).to(torch.bfloat16))
    ordered = in_order(layers)
    x = torch.randn(5, 32, generator=torch.manual_seed(0)).bfloat16()[:, : layers[0].qkv.weight.shape[1]]
    for name in ("qkv", "feed_forward.gate_up"):
        (one, other), (fast, _) = ([attrgetter(name)(layer) for layer in some] for some in (layers, ordered))
        assert fast.ordered is not None and one.ordered is None
        bias = 0 if one.bias is None else one.bias.double()
        exact = x.double() @ one.weight.double().T + bias
        torch.testing.assert_close(fast(x).double(), exact, rtol=2**-7, atol=2**-7)
        assert (other(x).double() - exact).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_other_weights_are_held_twice(dtype):
    layers = in_order(join_weights(tiny_network().to(dtype)))
    assert all(layer.qkv.ordered is None and layer.feed_forward.down.ordered is None for layer in layers)


@pytest.mark.parametrize("held", [True, False])
def test_an_engine_holds_bfloat16_once_more_unless_told_not_to(held):
    network = tiny_network().to(torch.bfloat16)
    engine = Engine(network, max_length=16, threads=1, weights_in_order=held)
    layer = engine.packed.built.runner.forward.layers[0]
    assert (layer.out.ordered is not None) == (held and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    found = answered(engine, asks(6, seed=1))
    assert all(len(a.tokens) == len(ask.open) for a, ask in zip(found, asks(6, seed=1), strict=True))


def test_other_values_of_it_are_refused():
    with pytest.raises(OptionError, match="weights_in_order='yes' must be True or False"):
        Engine(tiny_network(), weights_in_order="yes")
