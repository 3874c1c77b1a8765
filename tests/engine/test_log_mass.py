"""The mass of the logits at a query of the engine on a CPU, by which log p and confidences are told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fef.engine.draws import log_mass


def logits(dtype: torch.dtype) -> Tensor:
    """Of a peaked law, a flat one, one with bans, and two that are almost sure."""
    rows_NV = torch.randn(5, 4000, generator=torch.manual_seed(0)) * torch.tensor([5.0, 0.1, 2.0, 1.0, 1.0])[:, None]
    rows_NV[2, ::2] = -torch.inf
    rows_NV[3, 7], rows_NV[4, 7] = 30.0, 31.0
    return rows_NV.to(dtype).float()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_it_is_the_log_of_the_sum(dtype: torch.dtype) -> None:
    found_NV = logits(dtype)
    expected_N = found_NV.double().exp().sum(-1).log()
    tolerance = 1e-12 if dtype is torch.float32 else 1e-6
    torch.testing.assert_close(log_mass(found_NV, dtype), expected_N, rtol=0, atol=tolerance)


def test_confidences_of_almost_one_do_not_tie() -> None:
    """Which in float32 they would."""
    sure_NV = logits(torch.bfloat16)[3:]
    one, other = (sure_NV.amax(-1).double() - log_mass(sure_NV, torch.bfloat16)).tolist()
    assert one < other < 0
    in_float32 = sure_NV.amax(-1) - sure_NV.logsumexp(-1)
    assert in_float32[0] == in_float32[1]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_no_law_has_no_mass(broken: float) -> None:
    found_NV = logits(torch.bfloat16)
    found_NV[0, 3] = broken
    found_NV[1] = -torch.inf
    assert log_mass(found_NV, torch.bfloat16).isfinite().tolist() == [False, False, True, True, True]
