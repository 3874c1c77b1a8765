"""Bytes and idealised seconds, counted by hand."""

import pytest
import torch
from released_networks import operations
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fef.bench.engine.bandwidth import copy_bandwidth, key_value_bytes, weight_bytes
from fef.bench.engine.rows import FULL_ONE, PassRow
from fef.bench.engine.serving import ideal_seconds
from fef.bench.engine.shapes import SHAPES, random_network, shape_config
from fef.errors import OptionError
from fef.measure.answers import Answer
from fef.measure.timing import Clock
from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.quantize import quantize_
from fef.models.transformer import Transformer

CPU = torch.device("cpu")
SIZES = {"vocab_size": 10, "dim": 8, "layers": 3, "heads": 4, "kv_heads": 2, "mlp_dim": 16, "mask_id": 9}
ATTENTION = 8 * 8 + 2 * 8 * 4 + 8 * 8  # q, k and v of two heads of two numbers, out
MLP = 3 * 8 * 16
MATRICES = 3 * (ATTENTION + MLP)
NORMS = 3 * 2 * 8 + 8
HEAD = 10 * 8


def test_every_weight_that_a_pass_multiplies_by_counts_once():
    tied = Transformer(TransformerConfig(**SIZES))
    untied = Transformer(TransformerConfig(**SIZES, tied_embeddings=False))
    assert weight_bytes(tied) == 4 * (MATRICES + NORMS + HEAD)
    assert weight_bytes(untied) == weight_bytes(tied)  # the embedding beside the head is only looked up
    assert weight_bytes(untied.to(torch.bfloat16)) == 2 * (MATRICES + NORMS + HEAD)


@pytest.mark.parametrize("format", ["int8", "fp8"])
def test_quantized_weights_count_in_their_size_with_scales(format):
    network = quantize_(Transformer(TransformerConfig(**SIZES)).eval().requires_grad_(False), format)
    scales = 3 * (8 + 4 + 4 + 8 + 16 + 16 + 8)  # an output row each
    assert weight_bytes(network) == MATRICES + 4 * (scales + NORMS + HEAD)


def test_keys_and_values_of_a_token():
    network = Transformer(TransformerConfig(**SIZES))
    assert key_value_bytes(network) == 2 * 3 * 2 * 2 * 4
    assert key_value_bytes(network.to(torch.bfloat16)) == 2 * 3 * 2 * 2 * 2


@pytest.mark.parametrize("untied", [False, True])
def test_operations_are_those_that_torch_counts(untied):
    network = Transformer(TransformerConfig(**SIZES, tied_embeddings=not untied)).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.zeros(2, 7, dtype=torch.int64))
    assert 2 * operations(network, 7, 7, 7) == counter.get_total_flops()


def test_operations_of_chosen_experts_and_of_logits_that_are_read():
    mixture = MixtureConfig(experts=4, per_token=2, expert_dim=16, shared_dim=16)
    network = Transformer(TransformerConfig(**SIZES, mixture=mixture))
    layer = ATTENTION + 3 * MLP + 4 * 8  # two chosen experts and the shared one, as large as the MLP; the router
    seen = 2 * 4 * 2 * 6  # two products with 6 keys of four heads of two numbers
    assert operations(network, 5, 1, 6) == 2 * ((2 * 5 + 1) * (layer + seen) + HEAD)


def test_a_copy_has_a_bandwidth():
    assert copy_bandwidth(Clock(CPU, 1), 1 << 16) > 0


def answer(calls: int, token_forwards: int) -> Answer:
    return Answer(True, 5, "", "", calls, calls, token_forwards, calls)


def test_idealised_passes_cost_their_tokens_but_no_less_than_their_weights():
    costs = PassRow(2, FULL_ONE, 2, tokens=100, seconds=1.0, bytes_read=1, share=0.25)
    full = answer(calls=10, token_forwards=10 * 100)
    short_canvas = answer(calls=10, token_forwards=10 * 50)
    cached = answer(calls=10, token_forwards=10 * 4)
    assert ideal_seconds([full], costs) == pytest.approx(10 / 2)
    assert ideal_seconds([short_canvas], costs) == pytest.approx(5 / 2)
    assert ideal_seconds([cached], costs) == pytest.approx(2.5 / 2)
    assert ideal_seconds([full, cached], costs) == pytest.approx(12.5 / 2)


def test_reading_weights_never_costs_more_than_a_full_pass():
    costs = PassRow(1, FULL_ONE, 1, tokens=100, seconds=1.0, bytes_read=1, share=9.0)
    assert ideal_seconds([answer(3, 300)], costs) == pytest.approx(3.0)


def test_shapes_have_the_sizes_of_their_names():
    counts = {}
    for name in SHAPES:
        with torch.device("meta"):
            network = Transformer(shape_config(name))
        counts[name] = sum(p.numel() for p in network.parameters())
    assert counts["8b"] == pytest.approx(8e9, rel=0.01)
    assert counts["1b"] == pytest.approx(1.4e9, rel=0.05)
    assert counts["135m"] == pytest.approx(1.345e8, rel=0.01)
    assert counts["100m"] == pytest.approx(1.1e8, rel=0.05)
    assert counts["10m"] == pytest.approx(8.3e6, rel=0.1)
    with pytest.raises(OptionError, match="Did you mean '8b'"):
        shape_config("8bb")


@pytest.mark.parametrize("weights", [None, "int8", "fp8"])
def test_random_networks_have_no_matrix_of_zeros_and_finite_logits(weights):
    network = random_network(shape_config("tiny"), CPU, torch.bfloat16, weights)
    assert network.weight_format == weights
    assert all(bool(p.float().abs().sum() > 0) for p in network.parameters())
    assert bool(network(torch.arange(8)[None]).isfinite().all())
