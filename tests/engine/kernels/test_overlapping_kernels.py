"""Kernels that start while the one before ends give the same bits, in a CUDA graph too."""

import pytest
import torch
from torch import Tensor

from fef.engine.kernels.linear import gated_linear, linear, linear_parts
from fef.engine.kernels.norm import add_rms_norm, rms_norm


@pytest.mark.gpu
def test_a_chain_of_overlapping_kernels_has_the_same_bits() -> None:
    torch.manual_seed(0)
    D, F, layers = 1024, 2048, 12
    x_ND = torch.randn(48, D, device="cuda", dtype=torch.bfloat16)
    weight_D = torch.ones(D, device="cuda", dtype=torch.bfloat16)
    square_DD, wide_2FD, down_DF = (
        torch.randn(*shape, device="cuda", dtype=torch.bfloat16) / shape[1] ** 0.5
        for shape in ((D, D), (2 * F, D), (D, F))
    )

    def chain(overlap: bool) -> Tensor:
        hidden_ND, normed_ND = x_ND, rms_norm(x_ND, weight_D, 1e-5, overlap=overlap)
        for _ in range(layers):
            mixed_ND = linear(normed_ND, square_DD, overlap=overlap)
            inner_NF = gated_linear(mixed_ND, wide_2FD, overlap=overlap)
            part_SND = linear_parts(inner_NF, down_DF, overlap=overlap)
            hidden_ND, normed_ND = add_rms_norm(part_SND, hidden_ND, weight_D, 1e-5, overlap=overlap)
        return hidden_ND

    expected_ND = chain(False)
    assert torch.equal(chain(True), expected_ND)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out_ND = chain(True)
    for _ in range(20):
        graph.replay()
        assert torch.equal(out_ND, expected_ND)
