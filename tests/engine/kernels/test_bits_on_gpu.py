"""On a GPU: the bits of a token do not depend on how many others are in the launch, whatever tiles that chooses.

python -m pytest -m gpu tests/engine/kernels
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="the kernels need Triton")

from fef.engine.kernels.linear import gated_linear, linear, linear_parts
from fef.engine.kernels.norm import add_rms_norm, rms_norm
from fef.engine.kernels.rotate import rotate_and_store

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
MANY = 1100
FEWER = (1, 16, 25, 50, 64, 100, 128, 137, 200, 256, 300, 800)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, device="cuda", generator=torch.Generator("cuda").manual_seed(1)).bfloat16()


def assert_same_bits(run: Callable[[int], tuple[Tensor, ...]]) -> None:
    every = run(MANY)
    for count in FEWER:
        for some, all_ in zip(run(count), every, strict=True):
            assert torch.equal(some, all_[:count]), count


@pytest.mark.parametrize(("width", "inner"), [(288, 768), (768, 2048)])
def test_products_and_norms(width, inner):
    x_ND, x_NF, weight_D = numbers(MANY, width), numbers(MANY, inner), numbers(width)
    qkv, out, gate_up, down = (
        numbers(*shape) / 16 for shape in [(3 * width, width), (width, width), (2 * inner, width), (width, inner)]
    )
    assert_same_bits(lambda n: (linear(x_ND[:n], qkv),))
    assert_same_bits(lambda n: (linear(x_ND[:n], out, residual_NM=x_ND[:n]),))
    assert_same_bits(lambda n: (gated_linear(x_ND[:n], gate_up),))
    assert_same_bits(lambda n: (rms_norm(x_ND[:n], weight_D, 1e-6),))
    assert_same_bits(lambda n: add_rms_norm(linear_parts(x_NF[:n], down), x_ND[:n], weight_D, 1e-6))


@pytest.mark.parametrize(("heads", "size"), [(6, 48), (12, 64)])
def test_rotation_with_norms(heads, size):
    qkv_NX, weight_E = numbers(MANY, 3 * heads * size), numbers(size)
    positions_N = torch.arange(MANY, device="cuda")

    def run(n: int) -> tuple[Tensor, ...]:
        qkv = qkv_NX[:n].clone()
        keys = torch.zeros(1, heads, MANY, size, dtype=torch.bfloat16, device="cuda")
        values = torch.zeros_like(keys)
        rotate_and_store(
            qkv,
            positions_N[:n],
            torch.zeros(n, dtype=torch.int32, device="cuda"),
            positions_N[:n].int(),
            keys,
            values,
            heads=heads,
            kv_heads=heads,
            head_size=size,
            rotary_size=size,
            theta=1e4,
            q_weight_E=weight_E,
            k_weight_E=weight_E,
            eps=1e-6,
        )
        return qkv, keys[0, :, :n].transpose(0, 1), values[0, :, :n].transpose(0, 1)

    assert_same_bits(run)
