"""A block-causal network with cache="prefix": the text and the laws without it, for fewer tokens."""

from __future__ import annotations

import pytest
import torch
from tiny_network import EOS, MASK, tiny_network
from torch import Tensor

import fef

BLOCK = 4
PLAIN, SHIFTED = (
    tiny_network(1, scale=0.3, attention="block-causal", block_length=BLOCK, packed=False, shift=shift)
    for shift in (False, True)
)
NETWORKS = pytest.mark.parametrize("network", [PLAIN, SHIFTED], ids=["plain", "shift"])


def ragged(rows: int = 6, length: int = 14) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts of 1 to 7 tokens, a given token among the holes, rows of 8 to 14 tokens: ids, open, lengths."""
    index_L = torch.arange(length)
    prompt_B, lengths_B = 1 + torch.arange(rows) % 7, length - 6 * torch.arange(rows) // rows
    open_BL = (index_L >= prompt_B[:, None]) & (index_L < lengths_B[:, None]) & (index_L != 9)
    return torch.where(open_BL, MASK, (index_L + prompt_B[:, None]) % 6), open_BL, lengths_B


def decode(network, cache: str, **settings) -> fef.Decoded:
    ids_BL, open_BL, lengths_B = ragged()
    return fef.decode(network, ids_BL, open=open_BL, lengths=lengths_B, cache=cache, **settings)


@NETWORKS
@pytest.mark.parametrize("temperature", [1.0, [0.0, 1.0, 0.5, 1.0, 0.0, 0.7]])
@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize(
    "options",
    [
        {"method": "sequential"},
        {"method": "sequential", "order": "random"},
        {"window": 3},
        {"window": 5, "draft": "fresh", "order": "random"},
        {"window": 16, "accept": "block", "block_length": 3},
        {"window": 2, "steps": 2, "bonus": False},
        {"method": "threshold", "threshold": 0.5},
        {"method": "factor", "block_length": 6},
    ],
)
def test_the_cache_changes_no_token(network, temperature, eos_id, options):
    settings = {"temperature": temperature, "eos_id": eos_id, **options}
    without, cached = decode(network, "none", **settings), decode(network, "prefix", **settings)
    assert torch.equal(cached.ids, without.ids)
    torch.testing.assert_close(cached.logprobs, without.logprobs, rtol=0, atol=1e-9, equal_nan=True)
    for new, old in zip(cached.stats, without.stats, strict=True):
        assert new["calls"] == old["calls"]
        assert new["token_forwards"] <= old["token_forwards"]
    assert sum(s["token_forwards"] for s in cached.stats) < sum(s["token_forwards"] for s in without.stats)
    assert cached.certificate.kind == without.certificate.kind


@NETWORKS
def test_fef_has_the_text_of_sequential_with_the_cache(network):
    base = decode(network, "none", method="sequential", temperature=1.0)
    for window in (1, 4, 16):
        assert torch.equal(decode(network, "prefix", window=window, temperature=1.0).ids, base.ids)


def test_a_bidirectional_network_is_refused_with_an_alternative():
    for method in ("fef", "sequential"):
        with pytest.raises(fef.OptionError, match=r'would break the law.*verify="packed".*dual-exact'):
            fef.decode(tiny_network(), ragged()[0], method=method, cache="prefix", verify="rows")
