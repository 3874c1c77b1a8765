"""A row of a ragged batch with settings of its own gets what it gets alone, whatever the method: tokens, log p, costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from all_methods import GREEDY, METHODS
from tiny_network import EOS, MASK, complete_network, tiny_network

import fef

ROWS, LENGTH = 10, 10
NETWORK = complete_network()
BLOCKS = tiny_network(1, scale=0.3, attention="block-causal", block_length=4, packed=False)
SERVED = ("calls", "rows", "token_forwards", "rounds", "drafted", "accepted", "committed")


def check(network: Any, method: str, options: dict[str, Any], eos_id: int | None) -> None:
    ids = torch.full((ROWS, LENGTH), MASK)
    ids[:, 0] = torch.arange(ROWS) % 6
    ids[:, 5] = 1
    lengths = torch.tensor([LENGTH - i % 4 for i in range(ROWS)])
    inside = torch.arange(LENGTH) < lengths[:, None]
    ids, open_ = ids.masked_fill(~inside, 0), (ids == MASK) & inside
    each = {
        "temperature": [0.0 if method in GREEDY else (0.0, 0.7, 1.0)[i % 3] for i in range(ROWS)],
        "top_p": [(1.0, 0.9)[i % 2] for i in range(ROWS)],
        "seed": [1000 + 7 * i for i in range(ROWS)],
    }
    shared = {"method": method, "eos_id": eos_id, **options}
    whole = fef.decode(network, ids, open=open_, lengths=lengths, **shared, **each)
    for i in (0, 5, 7):  # of every temperature, and of three lengths
        n = int(lengths[i])
        own = {name: values[i] for name, values in each.items()}
        alone = fef.decode(network, ids[i : i + 1, :n], open=open_[i : i + 1, :n], **shared, **own)
        assert torch.equal(alone.ids[0], whole.ids[i, :n])
        torch.testing.assert_close(alone.logprobs[0], whole.logprobs[i, :n], rtol=0, atol=1e-9, equal_nan=True)
        assert {k: alone.stats[0][k] for k in SERVED} == {k: whole.stats[i][k] for k in SERVED}


@pytest.mark.parametrize(("method", "options"), METHODS)
@pytest.mark.parametrize("eos_id", [None, EOS])
def test_alone_and_in_a_batch(method, options, eos_id):
    check(NETWORK, method, options, eos_id)


@pytest.mark.parametrize(("method", "options"), [("sequential", {}), ("fef", {"window": 3}), ("threshold", {})])
def test_alone_and_in_a_batch_with_an_exact_cache(method, options):
    check(BLOCKS, method, {"cache": "prefix", **options}, None)


def test_every_method_is_here():
    assert {name for name, _ in METHODS} == set(fef.methods())
