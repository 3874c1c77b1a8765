"""The weight products against float64, in every way they can run."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fef.engine.kernels.linear import gated_linear, linear, linear_parts
from fef.engine.kernels.norm import add_rms_norm, rms_norm
from fef.engine.kernels.tiles import PART_MULTIPLE, Tiles, choose_tiles, gated_tiles, split_of

TOLERANCE = {torch.float32: 4e-6, torch.bfloat16: 2e-2}
DTYPES = [torch.float32, torch.bfloat16]
K_TILES = {torch.float32: (16, 32), torch.bfloat16: (64, 128)}


def inputs(N: int, M: int, K: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(N + M + K)
    x_NK = torch.randn(N, K, generator=generator)
    weight_MK = torch.randn(M, K, generator=generator) / K**0.5
    return x_NK.to(device, dtype), weight_MK.to(device, dtype)


def quantized(weight_MK: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    largest = 127.0 if dtype == torch.int8 else 448.0
    scale_M = weight_MK.float().abs().amax(1) / largest
    ratio_MK = weight_MK.float() / scale_M[:, None]
    return (ratio_MK.round() if dtype == torch.int8 else ratio_MK).to(dtype), scale_M


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected, atol=TOLERANCE[actual.dtype], rtol=TOLERANCE[actual.dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 100, 288), (17, 40, 1040)])
def test_a_product_with_everything_added(shape: tuple[int, int, int], dtype: torch.dtype, device: str) -> None:
    x_NK, weight_MK = inputs(*shape, dtype, device)
    bias_M = torch.randn(shape[1], device=device).to(dtype)
    residual_NM = torch.randn(shape[0], shape[1], device=device).to(dtype)
    plain_NM = x_NK.double() @ weight_MK.double().T
    close(linear(x_NK, weight_MK), plain_NM)
    close(linear(x_NK, weight_MK, bias_M=bias_M, residual_NM=residual_NM), plain_NM + bias_M + residual_NM)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight_dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantized_weights(weight_dtype: torch.dtype, dtype: torch.dtype, device: str) -> None:
    x_NK, weight_MK = inputs(5, 96, 320, dtype, device)
    quantized_MK, scale_M = quantized(weight_MK, weight_dtype)
    exact_NM = x_NK.double() @ (quantized_MK.double() * scale_M[:, None]).T
    close(linear(x_NK, quantized_MK, scale_M=scale_M), exact_NM)
    gate_NF, up_NF = exact_NM.chunk(2, dim=1)
    close(gated_linear(x_NK, quantized_MK, scale_2F=scale_M), F.silu(gate_NF) * up_NF)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gated_product(dtype: torch.dtype, device: str) -> None:
    x_NK, weight_MK = inputs(9, 140, 288, dtype, device)
    gate_NF, up_NF = (x_NK.double() @ weight_MK.double().T).chunk(2, dim=1)
    close(gated_linear(x_NK, weight_MK), F.silu(gate_NF) * up_NF)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tiles_of_a_gated_product_do_not_change_the_bits(
    dtype: torch.dtype, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x_NK, weight_MK = inputs(20, 140, 1104, dtype, device)
    several = []
    for tiles in (
        Tiles(64, n, k, stages=2, bulk=bulk) for n in (16, 32) for k in K_TILES[dtype] for bulk in (False, True)
    ):
        monkeypatch.setattr("fef.engine.kernels.linear.gated_tiles", lambda *_, tiles=tiles: tiles)
        several.append(gated_linear(x_NK, weight_MK))
    for other in several[1:]:
        assert torch.equal(other, several[0])


@pytest.mark.parametrize("tokens", [1, 17, 64, 65, 128, 129, 1024])
def test_tiles_divide_the_parts_and_fit_into_shared_memory(tokens: int) -> None:
    """All sizes that networks have, in bfloat16; 227 KiB is what a program of an H100 may hold."""
    for outputs, width in product((576, 1024, 2048, 4096, 8192, 12288, 24576, 151936), (576, 1024, 4096, 12288)):
        x_NK, weight_MK = (torch.empty(rows, width, dtype=torch.bfloat16, device="meta") for rows in (tokens, outputs))
        for tiles, weights in (
            (choose_tiles(x_NK, weight_MK, split_of(outputs, width)), 1),
            (gated_tiles(x_NK, weight_MK), 2),
        ):
            assert PART_MULTIPLE % tiles.k == 0
            assert 2 * tiles.stages * tiles.k * (weights * tiles.m + tiles.n) <= 227 * 1024


def test_inputs_may_be_rows_of_something_wider(device: str) -> None:
    x_NK, weight_MK = inputs(4, 64, 128, torch.float32, device)
    wide_NX = torch.cat([x_NK, x_NK], dim=1)
    assert torch.equal(linear(wide_NX[:, :128], weight_MK), linear(x_NK, weight_MK))


def test_the_split_follows_from_the_weight() -> None:
    assert [split_of(12288, 4096), split_of(4096, 4096), split_of(4096, 12288), split_of(288, 288)] == [1, 4, 4, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_way_it_runs_does_not_change_the_bits(dtype: torch.dtype, device: str) -> None:
    x_NK, weight_MK = inputs(6, 64, 1104, dtype, device)
    assert split_of(64, 1104) == 2
    scale_M, residual_NM = torch.rand(64, device=device), torch.randn(6, 64, device=device).to(dtype)
    several = [
        linear(
            x_NK,
            weight_MK,
            scale_M=scale_M,
            residual_NM=residual_NM,
            _tiles=Tiles(64, n, k, stages=2, spread=spread, bulk=bulk),
        )
        for n, k in zip((16, 32), K_TILES[dtype], strict=True)
        for spread in (False, True)
        for bulk in (False, True)
    ]
    for other in several[1:]:
        assert torch.equal(other, several[0])


def test_every_tile_is_computed_once(device: str) -> None:
    x_NK, weight_MK = inputs(70, 150, 32, torch.float32, device)
    tiles = Tiles(64, 16, 16, stages=2, group=2)  # five token tiles in groups of two
    close(linear(x_NK, weight_MK, _tiles=tiles), x_NK.double() @ weight_MK.double().T)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_token_does_not_see_the_others(dtype: torch.dtype, device: str) -> None:
    x_NK, weight_MK = inputs(70, 32, 1024, dtype, device)
    together_NM, gated_NF = linear(x_NK, weight_MK), gated_linear(x_NK, weight_MK)
    for n in (0, 33, 69):
        assert torch.equal(linear(x_NK[n : n + 1], weight_MK)[0], together_NM[n])
        assert torch.equal(gated_linear(x_NK[n : n + 1], weight_MK)[0], gated_NF[n])
        assert torch.equal(linear(x_NK[n : n + 20], weight_MK)[0], together_NM[n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm(dtype: torch.dtype, device: str) -> None:
    x_ND, weight_D = torch.randn(5, 300, device=device).to(dtype), torch.randn(300, device=device).to(dtype)
    exact_ND = F.rms_norm(x_ND.double(), (300,), weight_D.double(), 1e-5)
    close(rms_norm(x_ND, weight_D, 1e-5), exact_ND)
    assert torch.equal(rms_norm(x_ND[3:4], weight_D, 1e-5)[0], rms_norm(x_ND, weight_D, 1e-5)[3])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [False, True])
def test_a_norm_behind_a_product_has_the_bits_of_the_two(spread: bool, dtype: torch.dtype, device: str) -> None:
    x_NK, weight_DK = inputs(3, 64, 1024, dtype, device)
    residual_ND, weight_D = torch.randn(3, 64, device=device).to(dtype), torch.randn(64, device=device).to(dtype)
    bias_D = torch.randn(64, device=device).to(dtype)
    tiles = Tiles(64, 16, K_TILES[dtype][0], stages=2, spread=spread)
    part_SND = linear_parts(x_NK, weight_DK, _tiles=tiles)
    assert part_SND.shape[0] == (2 if spread else 1)
    sum_ND, normed_ND = add_rms_norm(part_SND, residual_ND, weight_D, 1e-6, bias_D=bias_D)
    hidden_ND = linear(x_NK, weight_DK, bias_M=bias_D, residual_NM=residual_ND)
    assert torch.equal(sum_ND, hidden_ND)
    assert torch.equal(normed_ND, rms_norm(hidden_ND, weight_D, 1e-6))
