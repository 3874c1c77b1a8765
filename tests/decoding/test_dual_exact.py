"""DualDiffusion's drafter behind an exact acceptance rule: the law and the text of sequential."""

from __future__ import annotations

import pytest
import torch
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.verify.reference import denoised, table_of
from fef.verify.texts import distance, sharpened
from tests.integrated_law import integrated_law

NETWORK = tiny_network(1, scale=0.3)


def canvas(rows: int = 6, length: int = 9) -> torch.Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    ids[:, 5] = 1
    return ids


@pytest.mark.parametrize("verify", ["rows", "packed"])
@pytest.mark.parametrize("temperature", [1.0, [0.0, 0.7, 1.0, 0.0, 0.7, 1.0]])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("eos_id", [None, EOS])
def test_the_text_of_sequential(verify, temperature, order, eos_id):
    shared = {"temperature": temperature, "verify": verify, "order": order, "eos_id": eos_id, "seed": 4}
    base = fef.decode(NETWORK, canvas(), method="sequential", **shared)
    for window, drafts, bonus in [(1, 1, False), (4, 3, True), (16, 2, True), (5, 5, False)]:
        out = fef.decode(NETWORK, canvas(), method="dual-exact", window=window, drafts=drafts, bonus=bonus, **shared)
        assert torch.equal(out.ids, base.ids)
        torch.testing.assert_close(out.logprobs, base.logprobs, rtol=0, atol=1e-9, equal_nan=True)
        assert out.certificate.kind == base.certificate.kind


@pytest.mark.parametrize("shift", [False, True])
def test_shifted_logits(shift):
    network = tiny_network(5, scale=0.3, shift=shift, packed=False)
    base = fef.decode(network, canvas(), method="sequential", temperature=1.0)
    assert torch.equal(fef.decode(network, canvas(), method="dual-exact", temperature=1.0, window=4).ids, base.ids)


@pytest.mark.parametrize("accept", ["rejection", "block"])
@pytest.mark.parametrize(("tokens", "length", "window", "drafts"), [(3, 3, 2, 2), (2, 4, 3, 2), (2, 3, 3, 3)])
def test_the_law_of_sequential(accept, tokens, length, window, drafts):
    network = tiny_network(2, scale=0.4, vocab_size=tokens + 1, mask_id=tokens, packed=False)
    expected = denoised(table_of(network, tokens, length), (tokens,) * length, [range(length)], 1, sharpened())
    law = integrated_law(network, length, method="dual-exact", accept=accept, window=window, drafts=drafts)
    assert distance(law, expected) < 1e-9


def test_more_passes_make_better_drafts():
    """Acceptance is counted, and grows with the passes that a window of drafts is spread over."""
    shares = []
    for drafts in (1, 2, 6):
        out = fef.decode(
            NETWORK, canvas(200), method="dual-exact", temperature=1.0, window=6, drafts=drafts, verify="rows"
        )
        assert all(0 < s["accepted"] <= s["drafted"] for s in out.stats)
        shares.append(sum(s["accepted"] for s in out.stats) / sum(s["drafted"] for s in out.stats))
    assert shares == sorted(shares)
    assert shares[-1] > shares[0]
