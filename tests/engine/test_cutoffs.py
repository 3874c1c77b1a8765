"""The last token that top-k and top-p keep, against the law of `fef.laws`."""

import pytest
import torch

from fef.engine import draws
from fef.engine.draws import cutoffs
from fef.laws.pipeline import Sampling, log_law


@pytest.mark.parametrize("entries", [1, 40, 1 << 22])
def test_what_is_kept_is_what_the_law_keeps(entries, monkeypatch):
    monkeypatch.setattr(draws, "_ENTRIES", entries)  # one slot at a time, a few, all
    generator = torch.Generator().manual_seed(0)
    logits_nV = torch.randn(9, 13, generator=generator).mul(4).round() / 2  # with ties
    logits_nV[:, 12] = -torch.inf
    temperature_n = torch.tensor([0.5, 1.0, 2.0] * 3, dtype=torch.float64)
    top_p_n = torch.tensor([1.0, 0.9, 0.5] * 3, dtype=torch.float64).roll(1)
    top_k_n = torch.tensor([0, 0, 4, 1, 3, 0, 0, 2, 13])
    value_n, last_id_n = cutoffs(logits_nV, temperature_n, top_p_n, top_k_n)
    sampling = Sampling(temperature_n, top_p_n, top_k_n, torch.tensor([12]))
    law_nV = log_law(logits_nV[:, None], sampling)[:, 0]
    id_V = torch.arange(13)
    kept_nV = (logits_nV > value_n[:, None]) | ((logits_nV == value_n[:, None]) & (id_V <= last_id_n[:, None]))
    assert torch.equal(kept_nV & logits_nV.isfinite(), law_nV.isfinite())
