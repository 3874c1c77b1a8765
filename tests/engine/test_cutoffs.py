"""The last token that top-k and top-p keep, against the law of `fef.laws`."""

import pytest
import torch
from torch import Tensor

from fef.engine import draws
from fef.engine.draws import cutoffs
from fef.laws.pipeline import Cut, Sampling, log_law


@pytest.mark.parametrize("entries", [1, 40, 1 << 22])
def test_what_is_kept_is_what_the_law_keeps(entries, monkeypatch):
    monkeypatch.setattr(draws, "_ENTRIES", entries)  # one slot at a time, a few, all
    generator = torch.Generator().manual_seed(0)
    logits_nV = torch.randn(9, 13, generator=generator).mul(4).round() / 2  # with ties
    logits_nV[:, 12] = -torch.inf
    temperature_n = torch.tensor([0.5, 1.0, 2.0] * 3, dtype=torch.float64)
    top_p_n = torch.tensor([1.0, 0.9, 0.5] * 3, dtype=torch.float64)
    top_k_n = torch.tensor([0, 0, 4, 1, 3, 3, 0, 2, 13])
    value_n, last_id_n = cutoffs(logits_nV, temperature_n, top_p_n, top_k_n)
    id_V = torch.arange(13)
    kept_nV = (logits_nV > value_n[:, None]) | ((logits_nV == value_n[:, None]) & (id_V <= last_id_n[:, None]))
    kept_nV &= logits_nV.isfinite()

    def law_keeps(first_cut: Cut) -> Tensor:
        sampling = Sampling(temperature_n, top_p_n, top_k_n, torch.tensor([12]), first_cut=first_cut)
        return log_law(logits_nV[:, None], sampling)[:, 0].isfinite()

    assert torch.equal(kept_nV, law_keeps("top-k"))
    assert not torch.equal(kept_nV, law_keeps("top-p"))


@pytest.mark.parametrize(("top_p", "top_k", "count"), [(0.75, 3, 2), (0.5, 2, 1), (0.95, 3, 3), (0.75, 0, 3)])
def test_top_k_cuts_first(top_p, top_k, count):
    logits_nV = torch.tensor([[0.2, 0.4, 0.1, 0.3]]).log()
    value_n, id_n = cutoffs(logits_nV, torch.ones(1).double(), torch.tensor([top_p]).double(), torch.tensor([top_k]))
    expected_V = logits_nV[0].sort(descending=True)
    assert (value_n.item(), id_n.item()) == (expected_V.values[count - 1].item(), expected_V.indices[count - 1].item())
