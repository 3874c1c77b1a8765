"""Quantized weights: the rounding error, what is rounded and what is not, and that the network is one network still."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from released import write
from test_streaming import SMALL, measured
from tiny_network import MASK, tiny_network
from torch import Tensor, nn

import fef
from fef.errors import CheckpointError, OptionError
from fef.measure.environment import weights_digest
from fef.models.checkpoint import demo_path, describe, load_network, save_checkpoint
from fef.models.config import MixtureConfig
from fef.models.demask import DEMASK, DependencyHead, load_head, save_head
from fef.models.quantize import KINDS, QuantizedLinear, quantize_, quantize_rows
from fef.tasks import generate, score
from fef.training.trainer import TrainOptions, train

FORMATS = ("int8", "fp8")
DENSE = ("q", "k", "v", "out", "gate", "up", "down")
LARGEST, SMALLEST = 1e38, 1e-44  # the ends of float32: no infinity, and subnormal numbers
magnitudes = st.sampled_from([0.0, SMALLEST, 1e-38, 1e-5, 1.0, 300.0, LARGEST])


def restored(format: str, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weights that the numbers stand for, and the scales, in float64."""
    numbers, scale = quantize_rows(weight, KINDS[format])
    assert numbers.dtype == KINDS[format].dtype and scale.dtype == torch.float32
    return numbers.double() * scale.double()[:, None], scale.double()[:, None]


def check_error(format: str, weight: Tensor) -> None:
    """At most half a step: a scale in int8, 2^-3 of a power of two in float8, there 2^-9 scales at least."""
    found, scale = restored(format, weight)
    assert found.isfinite().all()
    error, slack = (found - weight.double()).abs(), 1 + 1e-5  # of the float32 division
    bound = scale / 2 if format == "int8" else torch.maximum(weight.double().abs() / 16, scale * 2**-10)
    assert (error <= bound * slack).all()
    assert (found.sign() * weight.double().sign() >= 0).all()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_error_is_at_most_half_a_step(format, dtype):
    weight = torch.randn(50, 200, generator=torch.Generator().manual_seed(0)).to(dtype)
    check_error(format, weight)
    if format == "fp8":  # relative, for all weights but the tiniest of a row
        found, scale = restored(format, weight)
        normal = weight.double().abs() >= scale * 2**-6
        assert normal.double().mean() > 0.99
        assert ((found - weight.double()).abs() <= weight.double().abs() / 16 * (1 + 1e-5))[normal].all()


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
def test_rows_of_any_magnitude_keep_the_bound(format, data):
    """Rows of zeros, of subnormal numbers and of nearly infinite ones among ordinary ones, and mixed in one row."""
    rows = data.draw(st.lists(magnitudes, min_size=1, max_size=5))
    columns = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8))
    spread = data.draw(st.sampled_from([1.0, 1e-3, 1e-30]))
    weight = torch.tensor(rows)[:, None] * torch.tensor(columns)
    weight[:, ::2] *= spread
    check_error(format, weight)


@pytest.mark.parametrize("format", FORMATS)
def test_the_largest_of_each_row_is_kept_and_zeros_stay_zeros(format):
    weight = torch.tensor([[0.5, -2.0, 0.25], [0.0, 0.0, 0.0], [3.0, 1.0, -3.0]])
    found, scale = restored(format, weight)
    torch.testing.assert_close(found.abs().amax(1), weight.abs().amax(1).double())
    assert not found[1].any() and (scale > 0).all()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_weights_that_are_not_finite_are_refused(value):
    with pytest.raises(CheckpointError, match="infinite or nan"):
        quantize_rows(torch.tensor([[1.0, value]]), KINDS["int8"])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_layer_multiplies_by_the_weights_its_numbers_stand_for(format, bias, dtype):
    """In float16, too, where sums of unscaled numbers would be infinite."""
    linear = nn.Linear(600, 7, bias=bias).requires_grad_(False)
    layer = QuantizedLinear(linear, format)
    layer.fill(0, linear.weight)
    layer.to(dtype)
    assert layer.weight.dtype == KINDS[format].dtype and layer.scale.dtype == torch.float32
    x = torch.full((2, 3, 600), 2.0, dtype=dtype)
    wanted = x.double() @ (layer.weight.double() * layer.scale.double()[:, None]).T
    found = layer(x)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found.double(), wanted + (layer.bias.double() if bias else 0), rtol=0, atol=40 * torch.finfo(dtype).eps
    )


@pytest.mark.parametrize("format", FORMATS)
def test_filling_in_pieces_is_filling_at_once(format, monkeypatch):
    linear = nn.Linear(6, 11).requires_grad_(False)
    whole, pieces = QuantizedLinear(linear, format), QuantizedLinear(linear, format)
    whole.fill(0, linear.weight)
    monkeypatch.setattr("fef.models.quantize.PIECE", 13)
    pieces.fill(4, linear.weight[4:])
    pieces.fill(0, linear.weight[:4])
    assert torch.equal(whole.weight.view(torch.uint8), pieces.weight.view(torch.uint8))
    assert torch.equal(whole.scale, pieces.scale)


NETWORKS: dict[str, dict[str, Any]] = {
    "tied": {"tied_embeddings": True},
    "untied": {"tied_embeddings": False},
    "grouped": {"heads": 4, "kv_heads": 2},
    "biases": {"qkv_bias": True, "out_bias": True, "qk_norm": True},
    "shifted": {"shift": True, "packed": False},
}


def dequantized(network: Any, like: Any) -> Any:
    """`like` with the weights that the numbers of `network` stand for."""
    modules = dict(network.named_modules())
    for name, module in like.named_modules():
        if isinstance(modules[name], QuantizedLinear):
            module.weight.copy_(modules[name].weight.double() * modules[name].scale.double()[:, None])
    return like


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_quantized_network_is_the_plain_one_of_the_rounded_weights(format, kind):
    network, original = quantize_(tiny_network(**NETWORKS[kind]), format), tiny_network(**NETWORKS[kind])
    assert network.weight_format == format and original.weight_format is None
    ids = torch.tensor([[1, 3, MASK, MASK, 4, MASK]])
    assert not torch.equal(network(ids), original(ids))
    torch.testing.assert_close(network(ids), dequantized(network, original)(ids))


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_rounded_and_what_is_not(format):
    network, original = quantize_(tiny_network(tied_embeddings=False), format), tiny_network(tied_embeddings=False)
    rounded = {name for name, module in network.named_modules() if isinstance(module, QuantizedLinear)}
    assert {name.rpartition(".")[2] for name in rounded} == set(DENSE)
    assert len(rounded) == len(DENSE) * network.config.layers
    kept = original.state_dict()
    for name, tensor in network.state_dict().items():
        if name.rpartition(".")[0] not in rounded:
            assert torch.equal(tensor, kept[name])


@pytest.mark.parametrize("shared_dim", [0, 5])
def test_experts_and_router_stay_as_they_are(shared_dim):
    mixture = {"experts": 4, "per_token": 2, "expert_dim": 6, "shared_dim": shared_dim, "dense_layers": (0,)}
    network = quantize_(tiny_network(mixture=MixtureConfig(**mixture)), "int8")
    rounded = [name for name, module in network.named_modules() if isinstance(module, QuantizedLinear)]
    assert [name for name in rounded if "mlp" in name] == [f"blocks.0.mlp.{name}" for name in ("gate", "up", "down")]
    assert len([name for name in rounded if "attn" in name]) == 8
    assert network(torch.tensor([[1, MASK]])).isfinite().all()


@pytest.mark.parametrize("format", FORMATS)
def test_the_quantized_matrices_take_half_the_memory_of_bfloat16(format):
    network = tiny_network(dim=128, mlp_dim=256).bfloat16()

    def size(modules: Any) -> int:
        return sum(t.numel() * t.element_size() for m in modules for t in (*m.parameters(), *m.buffers()))

    before = size(m for m in network.modules() if isinstance(m, nn.Linear))
    quantize_(network, format)
    after = size(m for m in network.modules() if isinstance(m, QuantizedLinear))
    assert 0.5 < after / before < 0.52


@pytest.mark.parametrize(
    ("family", "format"),
    [("demo", "int8"), ("released", "int8"), ("released", "fp8"), pytest.param("demo", "fp8", marks=pytest.mark.slow)],
)
def test_loading_quantized_is_loading_and_quantizing(format, family, tmp_path, monkeypatch):
    """Row by row, as it streams."""
    if family == "released":
        fields = {"d_model": 32, "n_heads": 4, "n_layers": 2, "mlp_hidden_size": 48, "embedding_size": 60}
        monkeypatch.setattr("released.shape", lambda _: fields)
        write(tmp_path, 1, shard_bytes=6000)
    path = demo_path() if family == "demo" else tmp_path
    monkeypatch.setattr("fef.models.weights.MAPPED_BYTES", 5000)
    streamed = load_network(path, dtype=torch.bfloat16, weights=format)
    afterwards = quantize_(load_network(path, dtype=torch.bfloat16), format)
    assert streamed.weight_format == format and not streamed.training
    assert weights_digest(streamed) == weights_digest(afterwards)
    assert not any(p.requires_grad for p in streamed.parameters())
    assert load_network(path, describe(path), "meta", weights=format).blocks[0].attn.q.weight.is_meta


def test_an_unknown_format_is_refused_with_the_nearest_and_before_any_weight_is_read():
    for attempt in (lambda: quantize_(tiny_network(), "int4"), lambda: fef.load("demo", weights="int4")):
        with pytest.raises(
            OptionError, match=r"Unknown weight format 'int4'. Did you mean 'int8'\? Allowed: fp8, int8"
        ):
            attempt()


def test_a_quantized_network_is_not_quantized_again_saved_or_trained(tmp_path):
    model = fef.load("demo", device="cpu", weights="int8")
    with pytest.raises(OptionError, match="cannot be quantized again"):
        quantize_(model.network, "fp8")
    with pytest.raises(OptionError, match=r"int8 weights cannot be saved: .* Load it without weights="):
        save_checkpoint(tmp_path / "model", model.network, model.tokenizer)
    with pytest.raises(OptionError, match="cannot be trained"):
        train(model.network, model.tokenizer, None, tmp_path / "run", TrainOptions())
    assert not any(tmp_path.iterdir())


def test_a_dependency_head_belongs_to_the_weights_it_was_trained_on(tmp_path):
    """The shipped one is left out; one of the rounded weights comes back."""
    assert (demo_path() / DEMASK).is_file()
    model = fef.load("demo", device="cpu", weights="fp8")
    assert model.network.extras.dependency_head is None
    assert model.network.extras.information_profile is not None
    with pytest.raises(CheckpointError, match="was trained on the network"):
        load_head(demo_path() / DEMASK, model.network)
    save_head(tmp_path / DEMASK, DependencyHead(model.network.config.dim, rank=4), model.network)
    assert load_head(tmp_path / DEMASK, model.network).reach == 32


@pytest.fixture(scope="module", params=FORMATS)
def model(request) -> fef.Model:
    return fef.load("demo", device="cpu", weights=request.param)


def test_the_shipped_checkpoint_still_answers(model):
    problems = [p for family in ("word-problems", "joint") for p in generate(family, 4, 3, split="held-out")]
    outs = model.generate([p.prompt for p in problems])
    assert sum(score(p, out.text) for p, out in zip(problems, outs, strict=True)) >= 7


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_fef_and_sequential_sample_one_law_of_the_rounded_weights(model, temperature):
    prompts = [p.prompt for p in generate("joint", 3, 5, split="held-out")]
    settings = {"temperature": temperature, "seed": 3, "max_new_tokens": 24, "verify": "packed"}
    fast = model.generate(prompts, method="fef", **settings)
    slow = model.generate(prompts, method="sequential", **settings)
    assert [out.token_ids for out in fast] == [out.token_ids for out in slow]


def test_score_is_the_log_likelihood_of_what_was_generated(model):
    prompt = generate("word-problems", 1, 3, split="held-out")[0].prompt
    out = model.generate(prompt, temperature=1.0, seed=3)
    scored = model.score(prompt, out.text, temperature=1.0)
    assert scored.token_ids[: len(out.token_ids)] == out.token_ids
    assert scored.logprobs[: len(out.logprobs)] == pytest.approx(out.logprobs, abs=1e-3)
    assert any(reason.startswith("weights: ") for reason in scored.certificate.reasons)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc")
def test_loading_quantized_peaks_below_the_weights_as_stored(tmp_path):
    """No matrix is in memory as stored; beside the weights are a mapped part of a shard and float32 copies of rows."""
    write(tmp_path, SMALL)
    quantized, peak = measured("int8", tmp_path, "bfloat16")
    assert quantized < 0.65 * SMALL
    assert quantized <= peak < SMALL
