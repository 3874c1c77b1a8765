"""Laws that are read in part say what the whole law says."""

import pytest
import torch

from fef.laws import law as module
from fef.laws.law import Law
from fef.laws.pipeline import Sampling, greedy_tokens, log_law


def logits(dtype: torch.dtype, B: int = 3, S: int = 5, V: int = 40) -> torch.Tensor:
    return (4 * torch.randn(B, S, V, generator=torch.Generator().manual_seed(V))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("entries", [1, 7 * 40, 1 << 24])
def test_a_part_is_that_of_the_whole(dtype, entries, monkeypatch):
    monkeypatch.setattr(module, "_ENTRIES", entries)
    x_BSV = logits(dtype)
    whole_BSV = x_BSV.double().index_fill(-1, torch.tensor([2, 9]), -torch.inf).log_softmax(-1)
    found, tokens_BS = Law(x_BSV).without(torch.tensor([2, 9])), torch.arange(15).view(3, 5)
    torch.testing.assert_close(found.confidence_BS, whole_BSV.exp().amax(-1), rtol=0, atol=1e-15)
    torch.testing.assert_close(
        found.at(tokens_BS), whole_BSV.gather(-1, tokens_BS[..., None])[..., 0], rtol=0, atol=1e-13
    )
    assert torch.equal(found.logp_BSV, whole_BSV)
    assert float(found.at(torch.full_like(tokens_BS, 9)).amax()) == -torch.inf


def test_equal_slots_are_equally_confident_beside_any_others():
    row_V = logits(torch.float32)[0, 0]
    for count in (1, 2, 3, 17):
        found = Law(torch.cat([logits(torch.float32, 1, count), row_V[None, None]], 1)).confidence_BS
        assert float(found[0, -1]) == float(Law(row_V[None, None]).confidence_BS)


@pytest.mark.parametrize("ends", [False, True])
def test_greedy_tokens_are_where_the_law_has_its_mass(ends):
    x_BSV, zero_B = logits(torch.bfloat16), torch.zeros(3)
    x_BSV[0, 0, [4, 11]] = 99.0  # a tie goes to the lower id
    sampling = Sampling(zero_B.double(), zero_B.double() + 1, zero_B.long(), torch.tensor([39]), eos_id=7)
    forced_BS = torch.arange(15).view(3, 5) % 4 == 1
    rules = {"forced_eos_BS": forced_BS, "no_eos_BS": ~forced_BS} if ends else {}
    found_BS = greedy_tokens(x_BSV, sampling, **rules)
    assert torch.equal(found_BS, log_law(x_BSV, sampling, **rules).argmax(-1))
    assert found_BS[0, 0] == 4 and bool((found_BS == 7)[forced_BS].all()) == ends
