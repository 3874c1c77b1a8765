"""The last token that top-k and top-p keep, against cuts token by token and against the law."""

import math

import pytest
import torch
from torch import Tensor

from fef.laws import pipeline
from fef.laws.pipeline import Cut, EntrySettings, Sampling, cutoffs, kept_by, log_law


def kept_one_by_one(logits: list[float], temperature: float, top_p: float, top_k: int, first_cut: Cut) -> list[bool]:
    """Top-k and top-p of one entry, in plain Python."""
    order = sorted((i for i, x in enumerate(logits) if x > -math.inf), key=lambda i: (-logits[i], i))
    weight = {i: math.exp((logits[i] - logits[order[0]]) / temperature) for i in order}
    if top_k and first_cut == "top-k":
        order = order[:top_k]
    total, mass, kept = sum(weight[i] for i in order), 0.0, []
    for i in order:
        if top_p == 1 or mass / total < top_p - 1e-9:
            kept.append(i)
        mass += weight[i]
    kept = kept[:top_k] if top_k else kept
    return [i in kept for i in range(len(logits))]


@pytest.mark.parametrize("entries", [1, 40, 1 << 22])
def test_what_is_kept_is_what_the_law_keeps(entries, monkeypatch):
    monkeypatch.setattr(pipeline, "_CUT_ENTRIES", entries)  # one slot at a time, a few, all
    generator = torch.Generator().manual_seed(0)
    logits_nV = torch.randn(9, 13, generator=generator).mul(4).round() / 2  # with ties
    logits_nV[:, 12] = -torch.inf
    temperature_n = torch.tensor([0.5, 1.0, 2.0] * 3, dtype=torch.float64)
    top_p_n = torch.tensor([1.0, 0.9, 0.5] * 3, dtype=torch.float64)
    top_k_n = torch.tensor([0, 0, 4, 1, 3, 3, 0, 2, 13])
    kept_nV = (
        kept_by(logits_nV, *cutoffs(logits_nV, EntrySettings(temperature_n, top_p_n, top_k_n))) & logits_nV.isfinite()
    )

    def law_keeps(first_cut: Cut) -> Tensor:
        sampling = Sampling(temperature_n, top_p_n, top_k_n, torch.tensor([12]), first_cut=first_cut)
        kept_nV = log_law(logits_nV[:, None], sampling)[:, 0].isfinite()
        settings = zip(temperature_n.tolist(), top_p_n.tolist(), top_k_n.tolist(), strict=True)
        for logits_V, setting, kept_V in zip(logits_nV.tolist(), settings, kept_nV.tolist(), strict=True):
            assert kept_V == kept_one_by_one(logits_V, *setting, first_cut)
        return kept_nV

    assert torch.equal(kept_nV, law_keeps("top-k"))
    assert not torch.equal(kept_nV, law_keeps("top-p"))


@pytest.mark.parametrize(("top_p", "top_k", "count"), [(0.75, 3, 2), (0.5, 2, 1), (0.95, 3, 3), (0.75, 0, 3)])
def test_top_k_cuts_first(top_p, top_k, count):
    logits_nV = torch.tensor([[0.2, 0.4, 0.1, 0.3]]).log()
    value_n, id_n = cutoffs(
        logits_nV, EntrySettings(torch.ones(1).double(), torch.tensor([top_p]).double(), torch.tensor([top_k]))
    )
    expected_V = logits_nV[0].sort(descending=True)
    assert (value_n.item(), id_n.item()) == (expected_V.values[count - 1].item(), expected_V.indices[count - 1].item())
