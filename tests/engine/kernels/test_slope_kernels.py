"""The gradients that kernels write in a compiled training step, against those of torch."""

import pytest
import torch

from fef.models import mlp, slopes, transformer
from fef.models.config import TransformerConfig
from fef.models.rotation import rope_table, rotate

B, N = 2, 37  # tokens that no block of a program divides


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "groups", "size"), [(9, 3, 64), (2, 2, 16), (1, 1, 128)])
def test_the_gradient_of_heads_is_that_of_their_rotation(
    heads: int, groups: int, size: int, dtype: torch.dtype, device: str
) -> None:
    torch.manual_seed(heads)
    joined = torch.randn(B, N, (heads + 2 * groups) * size).to(device, dtype).requires_grad_()
    positions = torch.arange(N, device=device) * 7
    for rows in (positions[None], torch.stack([positions, positions + 4000])):
        table = rope_table(rows, size, 10_000.0, dtype)
        q, k, v = joined.unflatten(-1, (-1, size)).transpose(1, 2).split([heads, groups, groups], 1)
        scale = 0.25 if heads == 9 else 1.0
        expected = [rotate(q, table) * scale, rotate(k, table), v]
        found = slopes.turned_heads(joined, table, groups, scale)
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)
        upstream = [torch.randn_like(part) for part in expected]
        [slope] = torch.autograd.grad(found, joined, upstream)
        [right] = torch.autograd.grad(expected, joined, upstream)
        torch.testing.assert_close(slope, right, rtol=1e-2, atol=0.03 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [8, 520])
def test_the_gradient_of_gated_units_is_that_of_silu(width: int, dtype: torch.dtype, device: str) -> None:
    torch.manual_seed(width)
    joined = (3 * torch.randn(B, N, 2 * width)).to(device, dtype).requires_grad_()
    found = slopes.GatedUnits.apply(joined)
    gate, unit = joined.chunk(2, dim=-1)
    expected = torch.nn.functional.silu(gate) * unit
    assert torch.equal(found, expected)
    upstream = torch.randn_like(expected)
    [slope] = torch.autograd.grad(found, joined, upstream)
    [right] = torch.autograd.grad(expected, joined, upstream)
    torch.testing.assert_close(slope, right, rtol=1e-2, atol=0.1 if dtype == torch.bfloat16 else 1e-5)


def test_only_whole_heads_of_a_power_of_two_have_the_kernel() -> None:
    table = tuple(torch.empty(1, 1, 4, 48, device="meta") for _ in range(2))
    assert not slopes.whole_heads(table, 48) and not slopes.whole_heads(table, 64)


def test_a_compiled_step_has_their_gradients(device: str) -> None:
    torch.manual_seed(0)
    joined = torch.randn(1, N, 5 * 16, device=device, requires_grad=True)
    table = rope_table(torch.arange(N, device=device)[None], 16, 10_000.0, torch.float32)

    def loss(joined: torch.Tensor) -> torch.Tensor:
        q, k, v = slopes.turned_heads(joined, table, 1)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return slopes.GatedUnits.apply(mixed.transpose(1, 2).flatten(2)).square().sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    [found] = torch.autograd.grad(compiled(joined), joined)
    [expected] = torch.autograd.grad(loss(joined), joined)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [16, 32])  # queries are divided by 4, scores by the root of 32
def test_a_compiled_block_with_them_has_the_gradients_of_a_plain_one(
    size: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "whole_heads", lambda *_: True)
    monkeypatch.setattr(mlp, "gated_units", slopes.GatedUnits.apply)
    config = TransformerConfig(vocab_size=8, dim=3 * size, layers=1, heads=3, kv_heads=1, mlp_dim=24, mask_id=7)
    torch.manual_seed(size)
    block = transformer.Block(config, 0).to(device)
    hidden = torch.randn(1, N, config.dim, device=device)
    rotation = rope_table(torch.arange(N, device=device)[None], size, 10_000.0, torch.float32)
    found = []
    for forward in (torch.compile(block.forward, backend="aot_eager", fullgraph=True), block.forward):
        output, (keys, values) = forward(hidden, rotation, None, None)
        found.append([output, keys, values, *torch.autograd.grad(output.square().sum(), list(block.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
